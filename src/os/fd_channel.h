// Messages between two processes of one machine, each with open descriptors if need be (SCM_RIGHTS), over a Unix
// socket that only its owner and root may use.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "base/deadline.h"
#include "base/result.h"
#include "os/unique_fd.h"

namespace pgb::os {

class FdChannel {
 public:
  struct Message {
    std::string text;  // at most 64 KiB
    std::vector<UniqueFd> fds;
  };

  FdChannel() = default;
  explicit FdChannel(UniqueFd fd) : fd_(std::move(fd)) {}

  // A listening socket at `path` (mode 0600, given to `owner` if root asks for it); what was there is replaced in one
  // step. kIo, also for a path of more than 100 bytes.
  static Result<UniqueFd> listen(const std::string& path, std::optional<uid_t> owner = std::nullopt);
  // kUnreachable if nobody listens there.
  static Result<FdChannel> connect(const std::string& path);
  // The next one who has connected; kTimeout.
  static Result<FdChannel> accept(int listener, Deadline deadline);

  int fd() const { return fd_.get(); }
  explicit operator bool() const { return static_cast<bool>(fd_); }
  // Whom the other end runs as.
  Result<uid_t> peer() const;
  // Never waits: kIo if the other end does not read, or has ended. The descriptors stay the caller's. Any thread.
  Status send(const std::string& text, const std::vector<int>& fds = {}) const;
  // kUnreachable once the other end has closed; kTimeout.
  Result<Message> receive(Deadline deadline) const;
  void shut_down() const;  // both ends read an end; any thread

 private:
  UniqueFd fd_;
};

}  // namespace pgb::os
