#include "net/stream.h"

#include <sys/socket.h>

#include <cerrno>

namespace pgb::net {
namespace {

IoResult from_errno() {
  if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) return {IoResult::Kind::kWait, 0};
  return {IoResult::Kind::kFailed, 0};
}

class PlainStream final : public Stream {
 public:
  explicit PlainStream(os::UniqueFd fd) : fd_(std::move(fd)) {}

  IoResult read(char* data, size_t size) override {
    const ssize_t got = ::recv(fd_.get(), data, size, 0);
    if (got > 0) return {IoResult::Kind::kDone, static_cast<size_t>(got)};
    if (got == 0) return {IoResult::Kind::kClosed, 0};
    return from_errno();
  }

  IoResult write(std::string_view bytes) override {
    const ssize_t sent = ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent >= 0) return {IoResult::Kind::kDone, static_cast<size_t>(sent)};
    return from_errno();
  }

  int fd() const override { return fd_.get(); }
  os::UniqueFd release() override { return std::move(fd_); }

 private:
  os::UniqueFd fd_;
};

}  // namespace

std::unique_ptr<Stream> plain_stream(os::UniqueFd fd) { return std::make_unique<PlainStream>(std::move(fd)); }

}  // namespace pgb::net
