// For tests: peers that say exactly what they are told.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "http/client.h"
#include "http/server.h"

namespace pgb::http {

inline Deadline soon() { return Deadline::after(std::chrono::seconds(20)); }

inline Endpoint tcp(uint16_t port) {
  Endpoint endpoint;
  endpoint.host = "127.0.0.1";
  endpoint.port = port;
  return endpoint;
}

inline Response echo(const Request& request) {
  Response response;
  response.headers["x-method"] = request.method;
  response.headers["x-target"] = request.target;
  auto asked = request.headers.find("x-asked");
  if (asked != request.headers.end()) response.headers["x-asked"] = asked->second;
  response.body = request.body;
  return response;
}

inline std::unique_ptr<Server> serve(Server::Handler handler) {
  auto server = Server::start("127.0.0.1", 0, std::move(handler));
  EXPECT_TRUE(server.ok()) << (server.ok() ? "" : server.error().message);
  return server.ok() ? std::move(*server) : nullptr;
}

// A connection on which the test says what it likes.
class Raw {
 public:
  explicit Raw(uint16_t port) : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in name = {};
    name.sin_family = AF_INET;
    name.sin_port = htons(port);
    name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::connect(fd_, reinterpret_cast<sockaddr*>(&name), sizeof name), 0);
  }
  Raw(const Raw&) = delete;
  Raw& operator=(const Raw&) = delete;
  ~Raw() { ::close(fd_); }

  void say(std::string_view text) {
    while (!text.empty()) {
      ssize_t n = ::send(fd_, text.data(), text.size(), MSG_NOSIGNAL);
      if (n <= 0) return;
      text.remove_prefix(static_cast<size_t>(n));
    }
  }

  // All that comes until the peer closes or `until` was seen.
  std::string hear(const std::string& until = "") {
    std::string text;
    Deadline limit = soon();
    char bytes[4096];
    for (;;) {
      if (!until.empty() && text.find(until) != std::string::npos) return text;
      pollfd wanted = {fd_, POLLIN, 0};
      if (::poll(&wanted, 1, limit.poll_ms()) <= 0) return text + "<timeout>";
      ssize_t n = ::recv(fd_, bytes, sizeof bytes, 0);
      if (n <= 0) return text;
      text.append(bytes, static_cast<size_t>(n));
    }
  }

 private:
  int fd_;
};

// A server that reads one request's header and then sends exactly these bytes; silent if there are none.
class Canned {
 public:
  explicit Canned(std::vector<std::string> pieces, const std::string& unix_path = "") : path_(unix_path) {
    if (unix_path.empty()) {
      fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
      sockaddr_in name = {};
      name.sin_family = AF_INET;
      name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
      socklen_t size = sizeof name;
      EXPECT_EQ(::bind(fd_, reinterpret_cast<sockaddr*>(&name), size), 0);
      ::getsockname(fd_, reinterpret_cast<sockaddr*>(&name), &size);
      endpoint_ = tcp(ntohs(name.sin_port));
    } else {
      fd_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
      sockaddr_un name = {};
      name.sun_family = AF_UNIX;
      unix_path.copy(name.sun_path, sizeof name.sun_path - 1);
      EXPECT_EQ(::bind(fd_, reinterpret_cast<sockaddr*>(&name), sizeof name), 0);
      endpoint_.kind = Endpoint::Kind::kUnix;
      endpoint_.path = unix_path;
    }
    EXPECT_EQ(::listen(fd_, 8), 0);
    thread_ = std::thread([this, pieces] { answer(pieces); });
  }
  Canned(const Canned&) = delete;
  Canned& operator=(const Canned&) = delete;
  ~Canned() {
    ::shutdown(fd_, SHUT_RDWR);
    thread_.join();
    ::close(fd_);
    if (!path_.empty()) ::unlink(path_.c_str());
  }

  const Endpoint& endpoint() const { return endpoint_; }
  const std::string& request() const { return request_; }  // once the call has returned

 private:
  void answer(const std::vector<std::string>& pieces) {
    int peer = ::accept(fd_, nullptr, nullptr);
    if (peer < 0) return;
    char bytes[4096];
    while (request_.find("\r\n\r\n") == std::string::npos) {
      ssize_t n = ::recv(peer, bytes, sizeof bytes, 0);
      if (n <= 0) break;
      request_.append(bytes, static_cast<size_t>(n));
    }
    for (const std::string& piece : pieces) ::send(peer, piece.data(), piece.size(), MSG_NOSIGNAL);
    if (pieces.empty()) ::recv(peer, bytes, sizeof bytes, 0);  // until the client gives up
    ::shutdown(peer, SHUT_WR);
    while (::recv(peer, bytes, sizeof bytes, 0) > 0) {
    }
    ::close(peer);
  }

  std::string path_;
  int fd_;
  Endpoint endpoint_;
  std::string request_;
  std::thread thread_;
};

inline std::string temp_dir() {
  std::string pattern = "/tmp/pgb_http_XXXXXX";
  EXPECT_NE(::mkdtemp(pattern.data()), nullptr);
  return pattern;
}

}  // namespace pgb::http
