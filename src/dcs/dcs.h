// What high availability needs of an etcd-like store: keys with revisions, transactions, leases, watches.
//
// Every call blocks until it has its answer or the deadline passes. Any thread may call; a watch wants a thread of
// its own. Reads are linearizable: they see every write that was answered before they began.
//
// After a failure, outcome_of() says what is known:
//   kNotExecuted  nothing was changed: kUnreachable (nobody answers), kNotReady (the store has no leader, is overloaded
//                 or cannot write), kIo (so says a local store that cannot write), kTimeout (too late before anything
//                 was sent), kInterrupted; so it is with every failed read
//   kUnknown      kInDoubt: it was sent, and the answer did not come. Look before you write again.
//   kRefused      the store said no, and will again: kAuth, kCompacted, kNotFound (no such lease), kDiskFull,
//                 kProtocol (a request that the store does not take)
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/canceller.h"
#include "base/deadline.h"
#include "base/result.h"

namespace pgb::dcs {

using Revision = int64_t;  // grows by one with each transaction that changes something
using LeaseId = int64_t;   // 0: none

struct KeyValue {
  std::string key;
  std::string value;
  Revision create_revision = 0;
  Revision mod_revision = 0;
  int64_t version = 0;  // number of puts since it was created
  LeaseId lease = 0;
  bool operator==(const KeyValue&) const = default;
};

// What stands at one key, or at all keys that begin with it (sorted).
struct Range {
  std::string key;
  bool prefix = false;
};

struct Snapshot {
  Revision revision = 0;  // of the store; a watch from revision + 1 misses nothing
  std::vector<KeyValue> kvs;
};

struct Compare {
  enum class Field { kCreateRevision, kModRevision, kVersion, kLease, kValue };
  enum class Relation { kEqual, kNotEqual, kLess, kGreater };
  std::string key;
  Field field = Field::kModRevision;
  Relation relation = Relation::kEqual;
  int64_t number = 0;  // for all fields but kValue; an absent key has 0 everywhere
  std::string value;   // for kValue; an absent key has no value and never compares as true

  static Compare absent(std::string key) { return {std::move(key), Field::kCreateRevision, Relation::kEqual, 0, {}}; }
  static Compare unchanged(const KeyValue& kv) {
    return {kv.key, Field::kModRevision, Relation::kEqual, kv.mod_revision, {}};
  }
};

struct Op {
  enum class Kind { kGet, kPut, kDelete };
  Kind kind = Kind::kGet;
  Range range;  // kPut: without prefix
  std::string value;
  LeaseId lease = 0;

  static Op get(Range range) { return {Kind::kGet, std::move(range), {}, 0}; }
  static Op put(std::string key, std::string value, LeaseId lease = 0) {
    return {Kind::kPut, {std::move(key), false}, std::move(value), lease};
  }
  static Op remove(Range range) { return {Kind::kDelete, std::move(range), {}, 0}; }
};

// If all of `when` hold, `then` is done, else `otherwise`; in one step. A list puts no key twice.
struct Txn {
  std::vector<Compare> when;
  std::vector<Op> then;
  std::vector<Op> otherwise;
};

struct OpResult {
  std::vector<KeyValue> kvs;  // kGet
  int64_t deleted = 0;        // kDelete
};

struct TxnResult {
  bool succeeded = false;  // which of the two lists was done
  Revision revision = 0;   // of the store afterwards: that of the keys that were put
  std::vector<OpResult> results;
  std::string cluster{};  // the id that the store was made with, as it says it; empty: it says none
};

struct Lease {
  LeaseId id = 0;
  std::chrono::seconds ttl{0};  // as granted: a store may give more than was asked for
};

struct LeaseInfo {
  std::chrono::seconds granted{0};
  std::chrono::seconds remaining{0};  // rounded down
  std::vector<std::string> keys;
};

struct Event {
  enum class Kind { kPut, kDelete };
  Kind kind = Kind::kPut;
  KeyValue kv;  // kDelete: only key and mod_revision
  bool operator==(const Event&) const = default;
};

// All that happened below the prefix in some revisions, in order; a revision never comes in two pieces.
struct Changes {
  Revision revision = 0;  // go on from revision + 1
  std::vector<Event> events;
};

class Dcs {
 public:
  virtual ~Dcs() = default;

  virtual Result<Snapshot> range(const Range& range, Deadline deadline) = 0;

  // The revision of the put. kNotFound: there is no such lease.
  virtual Result<Revision> put(const std::string& key, const std::string& value, LeaseId lease, Deadline deadline) = 0;

  virtual Result<TxnResult> txn(const Txn& txn, Deadline deadline) = 0;

  // After a failure a lease may be left over; it ends by itself.
  virtual Result<Lease> grant(std::chrono::seconds ttl, Deadline deadline) = 0;

  // The lease has its full time again, which is returned; count it from before the call. kNotFound: it has run out
  // or was revoked. May be repeated at will.
  virtual Result<std::chrono::seconds> keep_alive(LeaseId lease, Deadline deadline) = 0;

  // Its keys are gone, too. kNotFound: it is gone already. May be repeated at will.
  virtual Status revoke(LeaseId lease, Deadline deadline) = 0;

  virtual Result<LeaseInfo> time_to_live(LeaseId lease, Deadline deadline) = 0;

  // Hands over every change of a key that begins with `prefix` from revision `from` on (0: from now on), in order and
  // each once, across lost connections. Success when the deadline has passed or `on_changes` returns false.
  // kCompacted: changes from there on are no longer kept; read the range and watch from its revision + 1.
  // kInterrupted: cancelled. kUnreachable, kTimeout: at the deadline nobody could be asked.
  virtual Status watch(const std::string& prefix, Revision from, Deadline deadline, Canceller* canceller,
                       const std::function<bool(const Changes&)>& on_changes) = 0;
};

enum class Outcome { kNotExecuted, kUnknown, kRefused };
Outcome outcome_of(const Error& error);

// The first key behind all that begin with `prefix`: etcd's range_end. One zero byte (no end) for "" and "\xff…".
std::string prefix_end(std::string prefix);

}  // namespace pgb::dcs
