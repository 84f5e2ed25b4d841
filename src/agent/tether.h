// A connection to another agent that is held for nothing but its end: whoever dies lets go of it, at once, and his
// kernel tells, also where a container's address is gone a moment later and new connections are answered by nobody.
#pragma once

#include <optional>
#include <string>

#include "agent/wake.h"
#include "ha/view.h"
#include "os/unique_fd.h"

namespace pgb::agent {

class Tether {
 public:
  Tether(std::string host, uint16_t port) : host_(std::move(host)), port_(port) {}

  // Waits for so long, or until the connection ends or `wake` is rung.
  void wait(ha::Duration pause, const Wake& wake);

  // When the other side let go of it; nothing: it holds, was never made, or broke off otherwise.
  std::optional<ha::Time> let_go();

  // The other side answers: a new connection, if this one has ended or is old.
  void renew();

 private:
  void look();

  const std::string host_;
  const uint16_t port_;
  os::UniqueFd fd_;
  ha::Time made_{};
  std::optional<ha::Time> let_go_;
};

}  // namespace pgb::agent
