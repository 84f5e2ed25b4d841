// Errors that say less of the request than of the server that it came to. The words of an error are of the language
// that lc_messages asks for: where its state does not tell enough, its place in PostgreSQL's source does.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>

#include "pgwire/error_response.h"

namespace pgb::proxy {

inline bool comes_from(const pgwire::ErrorResponse& error, std::string_view routine) {
  return std::any_of(error.others.begin(), error.others.end(),
                     [&](const auto& field) { return field.first == 'R' && field.second == routine; });
}

// As a replica says of what only a primary can do: to write, to tell of what is there only, to do what is not possible
// while changes are replayed.
inline bool may_be_of_replica(const pgwire::ErrorResponse& error) {
  return error.sqlstate == pgwire::sqlstate::kFeatureNotSupported ||
         error.sqlstate == pgwire::sqlstate::kReadOnlyTransaction || error.sqlstate == pgwire::sqlstate::kNotInState;
}

// "cannot use serializable mode in a hot standby"
inline bool is_of_serializable(const pgwire::ErrorResponse& error) {
  return error.sqlstate == pgwire::sqlstate::kFeatureNotSupported &&
         comes_from(error, "GetSerializableTransactionSnapshot");
}

// "cached plan must not change result type"
inline bool is_of_old_plan(const pgwire::ErrorResponse& error) {
  return error.sqlstate == pgwire::sqlstate::kFeatureNotSupported &&
         (comes_from(error, "RevalidateCachedQuery") || error.message.find("cached plan") == 0);
}

}  // namespace pgb::proxy
