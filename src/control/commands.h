// What an operator can tell the balancer to do: one table behind the REST interface and every other surface.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "control/access.h"
#include "proxy/admin.h"

namespace pgb::control {

class GroupRoles;

// What the commands act on.
struct Actions {
  proxy::Admin& proxy;
  std::function<Status()> reload;            // reads the configuration again
  std::function<void(bool wait)> shut_down;  // `wait`: for transactions to end
  std::function<Status()> reopen_log = {};   // after somebody moved it; kUsage: it is in no file
  GroupRoles* roles = nullptr;               // null: nothing is known of roles beside what servers say
};

using Arguments = std::map<std::string, std::string>;

struct Command {
  std::string_view name;       // "pause"
  std::string_view arguments;  // those it knows, with blanks between: "database wait"; with ! those it needs
  std::string_view help;
  Result<proxy::Outcome> (*run)(const Actions&, const Arguments&);
  std::string_view alias = {};   // what pgpool-II calls it; empty: the same, or it has none
  Role needs = Role::kOperator;  // to give it
};

// In the order in which they are shown.
const std::vector<Command>& commands();

// By its name or alias; null if there is none.
const Command* find_command(std::string_view name);
// Whether a command knows the argument.
bool knows(const Command& command, std::string_view argument);

// Checks the arguments and does it. kNotFound: there is no such command, or the servers know no such database; kAuth:
// not for this role; kUsage: wrong arguments; else what the command says. A node may be given by its name or its
// number. May take as long as its argument "wait". Any thread.
Result<proxy::Outcome> run_command(const Actions& actions, Role role, std::string_view name,
                                   const Arguments& arguments);

}  // namespace pgb::control
