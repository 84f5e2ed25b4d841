// Signals as readable events instead of handlers.
#pragma once

#include <initializer_list>
#include <optional>
#include <string>

#include "base/result.h"
#include "os/unique_fd.h"

namespace pgb::os {

// Blocks these signals in the calling thread and the threads it starts later: call it first in main.
Status block_signals(std::initializer_list<int> signals);

// Reads blocked signals from a descriptor that can be polled (it does not block).
class SignalFd {
 public:
  // Blocks the signals, too. kIo if the kernel refuses.
  static Result<SignalFd> open(std::initializer_list<int> signals);

  int fd() const { return fd_.get(); }
  std::optional<int> read();  // the next pending signal's number; nothing if none is pending

 private:
  explicit SignalFd(UniqueFd fd) : fd_(std::move(fd)) {}
  UniqueFd fd_;
};

std::string signal_name(int signal);  // "SIGTERM"; "signal 77" if it has no name

}  // namespace pgb::os
