// Where a statement goes, and why. One for each reactor: what it remembers of statements is its thread's own.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "proxy/reactor_context.h"
#include "sql/verdict_cache.h"

namespace pgb::proxy {

// What is known of one statement (or one string of statements) in one database.
struct Look {
  const sql::Verdict* verdict = nullptr;  // valid until the next look
  bool replica = false;                   // a replica may answer it
  bool may_do_anything = false;           // beside what the verdict says: it calls functions of which nobody knows
  bool keeps_state = false;               // one of these may leave something in the server's process
  std::string_view reason;                // why, or why not; as long-lived as the verdict
  ReasonId counted_as = 0;                // the reason, for the counters
};

class Router {
 public:
  explicit Router(ReactorContext& context) : context_(context) {}

  // `read_as_written`: the server finds the same words and strings in the text as our parser does, which depends on the
  // session's parameters. Where it is false nothing is concluded from the text.
  Look look(std::string_view text, const std::string& database, bool read_as_written);

  void set_catalog(const std::string& database, sql::CatalogPtr catalog);
  // A transaction that may have changed what the catalogue says is over: until it was asked again, nothing is known.
  void note_change(const std::string& database);

  // The replica to ask, for a session that must see everything that was committed at `since_ns`; null: none will do.
  const NodeView* choose_replica(int64_t since_ns);

 private:
  bool usable(const NodeView& node, int64_t since_ns, bool has_primary) const;
  uint64_t random();

  struct Database {
    sql::VerdictCache cache;
    sql::CatalogPtr catalog;
  };
  Database& of(const std::string& database);

  ReactorContext& context_;
  std::map<std::string, std::unique_ptr<Database>> databases_;
  const std::string* last_name_ = nullptr;  // of the database looked up last
  Database* last_ = nullptr;
  uint64_t seed_ = 0x9e3779b97f4a7c15u;
};

}  // namespace pgb::proxy
