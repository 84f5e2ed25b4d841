// Any bytes as a request to the server, as an answer to the client, and as an address: no crash, no hang, and no
// handler sees a request that breaks the limits. The first byte chooses.
#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <thread>

#include "base/log.h"
#include "http/client.h"
#include "http/server.h"

using namespace pgb;

namespace {

void require(bool holds) {
  if (!holds) abort();
}

http::Response checked(const http::Request& request) {
  require(!request.method.empty() && !request.target.empty());
  require(request.body.size() <= (1u << 20));
  for (const auto& [name, value] : request.headers) {
    require(name.find_first_of("\r\n") == std::string::npos && value.find_first_of("\r\n") == std::string::npos);
  }
  return http::problem(http::has_bearer(request, "token") ? 200 : 401, request.target);
}

sockaddr_in local(uint16_t port) {
  sockaddr_in name = {};
  name.sin_family = AF_INET;
  name.sin_port = htons(port);
  name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return name;
}

void send_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    ssize_t n = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n <= 0) return;
    bytes.remove_prefix(static_cast<size_t>(n));
  }
}

void to_server(std::string_view bytes) {
  static std::unique_ptr<http::Server> server = std::move(http::Server::start("127.0.0.1", 0, checked)).value();
  int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  // From another address of this machine each time, or the ports would run out.
  static uint32_t count = 0;
  sockaddr_in source = local(0);
  source.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 + count++ % 0xfffff0);
  require(::bind(fd, reinterpret_cast<sockaddr*>(&source), sizeof source) == 0);
  sockaddr_in name = local(server->port());
  if (::connect(fd, reinterpret_cast<sockaddr*>(&name), sizeof name) == 0) {
    send_all(fd, bytes);
    ::shutdown(fd, SHUT_WR);
    char answer[4096];
    pollfd wanted = {fd, POLLIN, 0};
    // After our end of stream the server has nothing to wait for.
    for (;;) {
      int ready = ::poll(&wanted, 1, 5000);
      if (ready < 0 && errno == EINTR) continue;  // the fuzzer's own timer
      require(ready == 1);
      if (::recv(fd, answer, sizeof answer, 0) <= 0) break;
    }
  }
  ::close(fd);
}

void to_client(std::string_view bytes) {
  static const std::string path = "/tmp/http_fuzz." + std::to_string(::getpid());
  int listener = ::socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un name = {};
  name.sun_family = AF_UNIX;
  path.copy(name.sun_path, sizeof name.sun_path - 1);
  require(::bind(listener, reinterpret_cast<sockaddr*>(&name), sizeof name) == 0 && ::listen(listener, 1) == 0);
  std::thread peer([&] {
    int fd = ::accept(listener, nullptr, nullptr);
    char request[4096];
    ::recv(fd, request, sizeof request, 0);
    send_all(fd, bytes);
    ::close(fd);
  });
  http::Endpoint endpoint;
  endpoint.kind = http::Endpoint::Kind::kUnix;
  endpoint.path = path;
  auto response = http::call(endpoint, {}, Deadline::after(std::chrono::seconds(5)));
  require(response.ok() || response.error().code != Code::kTimeout);
  peer.join();
  ::close(listener);
  ::unlink(path.c_str());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static bool quiet = (log::setup("http_fuzz", log::Level::kError), true);
  (void)quiet;
  if (size == 0) return 0;
  std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (data[0] % 8 == 0) {
    auto endpoint = http::Endpoint::parse(bytes);
    if (endpoint.ok()) require(http::Endpoint::parse(endpoint->str()).ok());
  } else if (data[0] % 2 == 0) {
    to_client(bytes);
  } else {
    to_server(bytes);
  }
  return 0;
}
