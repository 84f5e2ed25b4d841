// What an operator has ordered of the balancer: an immutable value that each thread is given, as the topology is.
#pragma once

#include <memory>
#include <set>
#include <string>

namespace pgb::proxy {

struct Orders {
  bool finishing = false;  // the balancer ends: whoever is in no transaction has to go
  bool paused = false;     // no new work, in any database
  std::set<std::string> paused_databases;
  std::set<std::string> drained;  // nodes, by name; their gauges say the same
  std::string leaving;            // the primary that is about to hand over, as good as drained; empty: none

  bool pauses(const std::string& database) const { return paused || paused_databases.count(database) != 0; }
  // Whether a session must look at this at all before it begins something.
  bool keep_back_any() const { return finishing || paused || !paused_databases.empty(); }
  bool operator==(const Orders&) const = default;
};
// What operators order, and a successor takes over; the rest is each process's own.
inline void copy_commands(const Orders& from, Orders& to) {
  to.paused = from.paused;
  to.paused_databases = from.paused_databases;
  to.drained = from.drained;
}
using OrdersPtr = std::shared_ptr<const Orders>;

}  // namespace pgb::proxy
