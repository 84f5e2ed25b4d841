// Built-in functions and relations that mean something to a balancer. Source: PostgreSQL documentation, chapters
// "Functions and Operators" and "System Views", and pg_proc of releases 13 to 18.
#pragma once

#include <string_view>

namespace pgb::sql {

enum class FunctionKind {
  kOther,            // to be looked up in the catalogue
  kWrites,           // nextval() and its like
  kNodeLocal,        // its answer is about the server it runs on, or it acts on that server
  kSessionLock,      // pg_advisory_lock(), and what gives it back
  kTransactionLock,  // pg_advisory_xact_lock()
  kSequenceState,    // currval(), lastval()
  kSetConfig,        // set_config()
  kSetting,          // current_setting(): about the session or the server, as its argument has it
  kSessionState,     // setseed(), dblink_connect(): leaves something behind that cannot be told from the text
  kRunsText,         // query_to_xml(): SQL in a string
  kHarmless,         // volatile by name only: random(), clock_timestamp(); to be looked up, and taken for safe there
};

// `name` without schema, or in pg_catalog.
FunctionKind kind_of_function(std::string_view name);

// System views and tables whose rows are about one server or one session: "pg_stat_activity".
bool is_node_local_relation(std::string_view name);

// Settings whose value is the session's own, wherever it runs: "timezone", "app.tenant".
bool is_session_setting(std::string_view name);

}  // namespace pgb::sql
