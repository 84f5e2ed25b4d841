// What a statement means to a balancer: may a replica answer it, what does it change in the session, does it
// begin or end a transaction. Pure values; a Verdict does not change once it is made.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace pgb::sql {

// What a statement leaves behind in the server's session.
struct Effect {
  enum class Kind : uint8_t {
    kSet,             // SET name = value, also SET LOCAL, SET TIME ZONE, SET ROLE, set_config(): name, value
    kReset,           // RESET name, SET name TO DEFAULT
    kResetAll,        // RESET ALL
    kSetTransaction,  // SET TRANSACTION / SET SESSION CHARACTERISTICS (local = false): value as written
    kListen,          // name
    kUnlisten,        // name, empty for *
    kTempObject,      // CREATE TEMP …, SELECT INTO TEMP, a name in pg_temp
    kSessionLock,     // pg_advisory_lock and its like, not the transaction-level ones
    kHoldCursor,      // DECLARE … WITH HOLD
    kPrepare,         // PREPARE name
    kDeallocate,      // name, empty for ALL
    kDiscard,         // value: "ALL", "PLANS", "SEQUENCES", "TEMP"
    kLoad,            // LOAD 'library'
    kSessionUser,     // SET/RESET SESSION AUTHORIZATION
    kSequenceState,   // currval(), lastval(): reads what this session's nextval() left behind
    kUnknown,         // DO, CALL, a procedural language, text that does not parse: may be anything. Also beside
                      // the others where the text does more than change its session.
  };
  Kind kind = Kind::kUnknown;
  std::string name;    // lower case unless quoted
  std::string value;   // as one could write it in SET name TO value
  bool local = false;  // for the transaction only
  bool operator==(const Effect&) const = default;
};

enum class Transaction : uint8_t {
  kNone,
  kBegin,           // BEGIN, START TRANSACTION without an access mode
  kBeginReadOnly,   // … READ ONLY (and not SERIALIZABLE, which replicas refuse)
  kBeginReadWrite,  // … READ WRITE, or SERIALIZABLE
  kCommit,          // COMMIT, END; also AND CHAIN
  kRollback,        // ROLLBACK, ABORT; also AND CHAIN
  kSavepoint,       // SAVEPOINT, RELEASE, ROLLBACK TO
  kTwoPhase,        // PREPARE TRANSACTION, COMMIT PREPARED, ROLLBACK PREPARED
};

struct Verdict {
  // A replica gives the same answer as the primary would, as far as the text alone tells: the names below must
  // still be found harmless in the database's catalogue (see decide() in decision.h).
  bool read = false;
  // Why, as an end of the sentence "it goes to the primary because …" or, for a read, "… to a replica because …".
  std::string reason;
  // Names as resolved by PostgreSQL's lexer, "schema.name" if written so; sorted, each once. Also where it is no read:
  // what stands behind them may change the session. The function of a trigger that it makes is among them.
  std::vector<std::string> functions;
  std::vector<std::string> operators;  // without "-", which decide() always asks for
  std::vector<std::string> relations;
  std::vector<std::string> types;       // of casts
  std::vector<std::string> attributes;  // y of x.y and (x).y: a column, or a function that takes the row
  std::vector<std::string> written;     // relations named where rows are written, also those only read there
  std::vector<std::string> new_code;    // functions in C that it makes; of any statement
  std::vector<Effect> effects;          // in the order of the text
  // Of the only statement; with several statements: kNone unless there is transaction control among them, then that
  // of the last such.
  Transaction transaction = Transaction::kNone;
  unsigned statements = 0;       // 0: an empty query
  bool parsed = false;           // false: PostgreSQL would (or might) call it a syntax error
  bool copy_in = false;          // COPY … FROM STDIN
  bool writes = false;           // it surely writes: INSERT, UPDATE, DELETE, MERGE, TRUNCATE, COPY FROM
  bool changes_catalog = false;  // DDL: what is known of names may be wrong after it
  bool draws_number = false;     // nextval(), setval(): what kSequenceState asks for
  // In a READ ONLY transaction a replica may be asked for it, as far as the text tells: it reads, is about the session
  // or the transaction alone, or writes, which neither lets pass. Not so what takes locks, notifies, or may do
  // anything.
  bool fits_read_only = false;
  bool shows = false;         // SHOW, and nothing else
  bool one_snapshot = false;  // the transaction that begins sees the same all the time: REPEATABLE READ, SERIALIZABLE
  bool hint_primary = false;  // comment hint: /* pgbalancer: primary */
  // Comment hint: /* pgbalancer: replica */. The user vouches for the functions, operators and relations that are
  // named, also for those that tell about one server (pg_is_in_recovery()); never for what the text itself does.
  bool hint_replica = false;
  bool needs_text = false;  // effects or the verdict depend on literals: not to be cached under a normalised text
  bool operator==(const Verdict&) const = default;
};

}  // namespace pgb::sql
