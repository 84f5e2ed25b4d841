// Built-in functions and relations that mean something to a balancer. Source: PostgreSQL documentation, chapters
// "Functions and Operators" and "System Views".
#pragma once

#include <string_view>

namespace pgb::sql {

enum class FunctionKind {
  kOther,            // to be looked up in the catalogue
  kWrites,           // nextval() and its like
  kNodeLocal,        // its answer is about the server it runs on
  kSessionLock,      // pg_advisory_lock()
  kSessionUnlock,    // pg_advisory_unlock()
  kTransactionLock,  // pg_advisory_xact_lock()
  kSequenceState,    // currval(), lastval()
  kSetConfig,        // set_config()
  kRunsText,         // query_to_xml(): SQL in a string
  kHarmless,         // volatile by name only: random(), clock_timestamp()
};

// `name` without schema, or in pg_catalog.
FunctionKind kind_of_function(std::string_view name);

// System views and tables whose rows are about one server or one session: "pg_stat_activity".
bool is_node_local_relation(std::string_view name);

}  // namespace pgb::sql
