// Ends the program at SIGTERM while its main thread waits for initdb or pg_basebackup. What they make is marked as
// unfinished and started over next time, so nothing has to be put in order; the tools die with us.
#pragma once

#include <thread>

#include "os/signals.h"
#include "os/unique_fd.h"

namespace pgb::agent {

class QuitWatch {
 public:
  // Reads `signals` until it is destroyed: nobody else may meanwhile.
  explicit QuitWatch(os::SignalFd& signals);
  ~QuitWatch();
  QuitWatch(const QuitWatch&) = delete;
  QuitWatch& operator=(const QuitWatch&) = delete;

 private:
  os::UniqueFd done_;
  std::thread thread_;
};

}  // namespace pgb::agent
