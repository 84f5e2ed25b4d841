// Where a statement goes, and why. One for each reactor: what it remembers of statements is its thread's own.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/meaning.h"
#include "proxy/reactor_context.h"
#include "sql/verdict_cache.h"

namespace pgb::proxy {

// What is known of one statement (or one string of statements) in one database.
struct Look {
  const sql::Verdict* verdict = nullptr;  // valid until the next look
  bool replica = false;                   // a replica may answer it
  bool may_do_anything = false;           // beside what the verdict says: it runs functions of which nobody knows
  bool keeps_state = false;               // one of these may leave something in the server's process
  bool sets_any = false;                  // or sets a parameter whose name nobody knows before
  bool may_leave = false;                 // what fires when it writes may change the session
  bool asks_number = false;               // it may ask for the last number of a sequence, though no text says so
  bool numbers_asked = false;             // something in the database does
  std::string_view reason;                // why, or why not; as long-lived as the verdict
  std::string_view text;                  // what was looked at, while it is there
  ReasonId counted_as = 0;                // the reason, for the counters
  Meaning meaning = Meaning::kNotLookedInto;
};

class Router {
 public:
  explicit Router(ReactorContext& context) : context_(context) {}

  // `read_as_written`: the server finds the same words and strings in the text as our parser does, which depends on the
  // session's parameters. Where it is false nothing is concluded from the text.
  Look look(std::string_view text, const std::string& database, bool read_as_written);

  // A replica refused what look() had sent there: until the catalogue changes it goes to the primary. (For texts that
  // are looked into.)
  void note_refusal(std::string_view text, const std::string& database);

  // What functions of the database may set, beside the parameters that servers list; empty: nothing, or not known.
  const std::vector<std::string>& custom_parameters(const std::string& database);
  bool knows(const std::string& database);  // has its catalogue, and nothing was changed since
  void set_catalog(const std::string& database, sql::CatalogPtr catalog);  // null: all that is known is forgotten
  // By what the catalogue said when it was last read, whatever has been changed since.
  sql::Decision as_last_known(const sql::Verdict& verdict, const std::string& database);
  // A transaction that may have changed what the catalogue says is over: until it was asked again, nothing is known.
  // `new_code`: functions in C that it made.
  void note_change(const std::string& database, const std::vector<std::string>& new_code);

  // visit(name, cache) of each database.
  template <class Visit>
  void each_cache(Visit visit) {
    for (auto& [name, database] : databases_) visit(name, database->cache);
  }

  // The replica to ask, for a session that must see everything that was committed at `since_ns`; null: none will do.
  const NodeView* choose_replica(int64_t since_ns);
  // Something was written and its client is about to know, or knows already. The time for choose_replica().
  int64_t note_write();
  // The time from which on choose_replica() must be asked, for a session that wrote last at `own_ns`.
  int64_t must_see(int64_t own_ns) const;
  // Whether that node, where the session is, still has all that it must see. True unless causal_reads is global.
  bool sees_all(const NodeView& node, int64_t own_ns) const;

 private:
  bool usable(const NodeView& node, int64_t since_ns, bool has_primary) const;
  void note_demand();
  double warmth(const NodeView& node) const;
  uint64_t random();
  double chance();  // [0, 1)

  struct Database {
    sql::VerdictCache cache;
    sql::CatalogPtr catalog;
    sql::CatalogPtr last_read;
  };
  Database& of(const std::string& database);
  void keep_at_primary(Look& look, ReasonId why) const;

  ReactorContext& context_;
  std::map<std::string, std::unique_ptr<Database>> databases_;
  const std::string* last_name_ = nullptr;  // of the database looked up last
  Database* last_ = nullptr;
  uint64_t seed_ = 0x9e3779b97f4a7c15u;
};

}  // namespace pgb::proxy
