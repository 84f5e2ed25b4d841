// Measures what a change of roles does to a client that writes: real commits through the balancer, which leave nothing
// behind but WAL (a logical message each).
#pragma once

#include <optional>

#include "cluster/roles.h"
#include "cluster/writers.h"

namespace pgb::cluster {

class RoleProbe {
 public:
  explicit RoleProbe(pgclient::ConnInfo through);

  // Begins to write; returns when commits come, or, if none does, soon. From then on it is measured.
  void begin();
  // Until a commit came that was acknowledged from now on; soon, if there was none before either.
  void wait_for_writes();
  // Stops. Nothing if no commit went through before. `primary`: the new one, asked what it has.
  std::optional<Measured> end(const pgclient::ConnInfo& primary);

 private:
  Writers writers_;
  Deadline::Clock::time_point since_{};
  bool works_ = false;
};

}  // namespace pgb::cluster
