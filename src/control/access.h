// Who may do what: one rule behind the REST interface, the console, PCP and the metrics.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace pgb::control {

// In ascending order: who may do more may do all that goes before.
enum class Role : uint8_t {
  kNobody,    // asks only for what any client may know
  kViewer,    // sees everything, changes nothing
  kOperator,  // gives commands
};

inline const char* name_of(Role role) {
  return role == Role::kOperator ? "operator" : role == Role::kViewer ? "viewer" : "nobody";
}

// Of a user of the servers, at the console.
inline Role role_of(std::string_view user, const std::vector<std::string>& admins,
                    const std::vector<std::string>& viewers) {
  const auto is_in = [&](const std::vector<std::string>& list) {
    return std::find(list.begin(), list.end(), user) != list.end();
  };
  if (is_in(admins)) return Role::kOperator;
  return is_in(viewers) ? Role::kViewer : Role::kNobody;
}

}  // namespace pgb::control
