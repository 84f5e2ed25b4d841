#include "os/fd_channel.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "os/file.h"

namespace pgb::os {
namespace {

constexpr size_t kMaxText = 64 * 1024;
constexpr size_t kMaxFds = 250;  // the kernel's limit for one message is 253
constexpr size_t kMaxPath = 100;
constexpr int kKind = SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK;

sockaddr_un name_of(const std::string& path) {
  sockaddr_un name = {};
  name.sun_family = AF_UNIX;
  std::memcpy(name.sun_path, path.data(), path.size());  // its length was checked
  return name;
}

Status check_length(const std::string& path) {
  if (!path.empty() && path.size() <= kMaxPath) return Status();
  return Error(Code::kIo, "the path of a Unix socket must have 1 to 100 bytes: " + path);
}

Status wait_for(int fd, Deadline deadline) {
  for (;;) {
    pollfd waiting = {fd, POLLIN, 0};
    const int ready = ::poll(&waiting, 1, deadline.poll_ms());
    if (ready > 0) return Status();
    if (ready == 0) return Error(Code::kTimeout, "the other process did not answer in time");
    if (errno != EINTR) return errno_error("poll", "socket", errno);
  }
}

}  // namespace

Result<UniqueFd> FdChannel::listen(const std::string& path, std::optional<uid_t> owner) {
  PGB_TRY(check_length(path));
  const std::string fresh = path + ".new";
  UniqueFd fd(::socket(AF_UNIX, kKind, 0));
  // Its mode is that of the file which bind() makes: at no moment may others connect.
  if (!fd || ::fchmod(fd.get(), 0600) != 0) return errno_error("socket for", path, errno);
  ::unlink(fresh.c_str());
  const sockaddr_un name = name_of(fresh);
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&name), sizeof name) != 0 || ::listen(fd.get(), 8) != 0 ||
      (owner && ::lchown(fresh.c_str(), *owner, static_cast<gid_t>(-1)) != 0) ||
      ::rename(fresh.c_str(), path.c_str()) != 0) {
    const int err = errno;
    ::unlink(fresh.c_str());
    return errno_error("listen on", path, err);
  }
  return fd;
}

Result<FdChannel> FdChannel::connect(const std::string& path) {
  PGB_TRY(check_length(path));
  UniqueFd fd(::socket(AF_UNIX, kKind, 0));
  const sockaddr_un name = name_of(path);
  if (fd && ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&name), sizeof name) == 0) {
    return FdChannel(std::move(fd));
  }
  return Error(Code::kUnreachable, "nobody listens on " + path + ": " + std::strerror(errno));
}

Result<FdChannel> FdChannel::accept(int listener, Deadline deadline) {
  PGB_TRY(wait_for(listener, deadline));
  UniqueFd fd(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!fd) return errno_error("accept", "socket", errno);
  return FdChannel(std::move(fd));
}

Result<uid_t> FdChannel::peer() const {
  ucred who = {};
  socklen_t size = sizeof who;
  if (::getsockopt(fd_.get(), SOL_SOCKET, SO_PEERCRED, &who, &size) != 0) return errno_error("ask", "socket", errno);
  return who.uid;
}

Status FdChannel::send(const std::string& text, const std::vector<int>& fds) const {
  if (fds.size() > kMaxFds || text.size() > kMaxText) return Error(Code::kIo, "too much for one message");
  iovec part = {const_cast<char*>(text.data()), text.size()};
  std::vector<char> control(fds.empty() ? 0 : CMSG_SPACE(fds.size() * sizeof(int)));
  msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (!fds.empty()) {
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(fds.size() * sizeof(int));
    std::memcpy(CMSG_DATA(header), fds.data(), fds.size() * sizeof(int));
  }
  if (::sendmsg(fd_.get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0) return Status();
  return errno_error("send to", "the other process", errno);
}

Result<FdChannel::Message> FdChannel::receive(Deadline deadline) const {
  PGB_TRY(wait_for(fd_.get(), deadline));
  Message out;
  out.text.resize(kMaxText);
  iovec part = {out.text.data(), out.text.size()};
  std::vector<char> control(CMSG_SPACE(kMaxFds * sizeof(int)));
  msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  const ssize_t got = ::recvmsg(fd_.get(), &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
  if (got <= 0) return Error(Code::kUnreachable, "the other process has closed the connection");
  out.text.resize(static_cast<size_t>(got));
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof fd);
      out.fds.emplace_back(fd);
    }
  }
  return out;
}

void FdChannel::shut_down() const { ::shutdown(fd_.get(), SHUT_RDWR); }

}  // namespace pgb::os
