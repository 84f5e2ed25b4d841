#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <vector>

#include "http/client.h"
#include "http/server.h"

namespace pgb::http {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

Deadline soon() { return Deadline::after(seconds(20)); }

Endpoint tcp(uint16_t port) {
  Endpoint endpoint;
  endpoint.host = "127.0.0.1";
  endpoint.port = port;
  return endpoint;
}

Response echo(const Request& request) {
  Response response;
  response.headers["x-method"] = request.method;
  response.headers["x-target"] = request.target;
  auto asked = request.headers.find("x-asked");
  if (asked != request.headers.end()) response.headers["x-asked"] = asked->second;
  response.body = request.body;
  return response;
}

std::unique_ptr<Server> serve(Server::Handler handler) {
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

std::string temp_dir() {
  std::string pattern = "/tmp/pgb_http_XXXXXX";
  EXPECT_NE(::mkdtemp(pattern.data()), nullptr);
  return pattern;
}

Code code_of(const Result<Response>& result) { return result.ok() ? Code::kInternal : result.error().code; }

TEST(HttpRoundTrip, CarriesMethodTargetHeadersAndBody) {
  auto server = serve(echo);
  Request request;
  request.method = "PUT";
  request.target = "/a/b?c=d%20e";
  request.headers["x-asked"] = "yes";
  request.body = std::string("zero\0byte", 9) + std::string(200000, 'x');
  auto response = call(tcp(server->port()), request, soon());
  ASSERT_TRUE(response.ok()) << response.error().message;
  EXPECT_EQ(response->status, 200);
  EXPECT_EQ(response->headers.at("x-method"), "PUT");
  EXPECT_EQ(response->headers.at("x-target"), "/a/b?c=d%20e");
  EXPECT_EQ(response->headers.at("x-asked"), "yes");
  EXPECT_EQ(response->body, request.body);
}

TEST(HttpRoundTrip, AnAnswerOfAnyStatusIsASuccess) {
  auto server = serve([](const Request&) { return problem(404, "there is no \"x\""); });
  auto response = call(tcp(server->port()), {}, soon());
  ASSERT_TRUE(response.ok());
  EXPECT_EQ(response->status, 404);
  EXPECT_EQ(response->body, "{\"error\":\"there is no \\\"x\\\"\",\"code\":\"PGB-NOT-FOUND\"}\n");
}

TEST(HttpRoundTrip, HeadHasNoBody) {
  auto server = serve([](const Request&) { return problem(200, "text"); });
  Request request;
  request.method = "HEAD";
  auto response = call(tcp(server->port()), request, soon());
  ASSERT_TRUE(response.ok()) << response.error().message;
  EXPECT_EQ(response->body, "");
  EXPECT_NE(response->headers.at("content-length"), "0");
}

TEST(HttpRoundTrip, ManyClientsAtOnce) {
  auto server = serve(echo);
  std::vector<std::thread> threads;
  std::atomic<int> good{0};
  for (int i = 0; i < 16; ++i) {
    threads.emplace_back([&, i] {
      Request request;
      request.method = "POST";
      request.body = std::to_string(i);
      auto response = call(tcp(server->port()), request, soon());
      if (response.ok() && response->body == request.body) ++good;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(good, 16);
}

TEST(HttpServer, AnExceptionBecomesA500AndTheServerLivesOn) {
  auto server = serve([](const Request& request) -> Response {
    if (request.target == "/bad") throw std::runtime_error("secret detail");
    return {};
  });
  Request bad;
  bad.target = "/bad";
  auto response = call(tcp(server->port()), bad, soon());
  ASSERT_TRUE(response.ok());
  EXPECT_EQ(response->status, 500);
  EXPECT_EQ(response->body.find("secret"), std::string::npos);
  EXPECT_EQ(call(tcp(server->port()), {}, soon()).value().status, 200);
}

TEST(HttpServer, AHeaderWithALineBreakIsNotSent) {
  auto server = serve([](const Request&) {
    Response response;
    response.headers["x"] = "a\r\nset-cookie: b";
    return response;
  });
  auto response = call(tcp(server->port()), {}, soon());
  ASSERT_TRUE(response.ok());
  EXPECT_EQ(response->status, 500);
  EXPECT_EQ(response->headers.count("set-cookie"), 0u);
}

TEST(HttpServer, KeepsTheConnectionAndServesPipelinedRequests) {
  auto server = serve(echo);
  Raw peer(server->port());
  peer.say("POST /1 HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\noneGET /2 HTTP/1.1\r\nhost: x\r\n\r\n");
  EXPECT_NE(peer.hear("/2").find("one"), std::string::npos);
  peer.say("GET /3 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
  EXPECT_NE(peer.hear().find("/3"), std::string::npos);
}

TEST(HttpServer, ReadsChunkedBodies) {
  auto server = serve(echo);
  Raw peer(server->port());
  peer.say("POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n");
  peer.say("3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n");
  std::string answer = peer.hear();
  EXPECT_NE(answer.find("\r\n\r\nabcdefg"), std::string::npos) << answer;
}

TEST(HttpServer, AnswersExpectContinue) {
  auto server = serve(echo);
  Raw peer(server->port());
  peer.say("PUT / HTTP/1.1\r\nhost: x\r\nconnection: close\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n");
  EXPECT_EQ(peer.hear("\r\n\r\n").substr(0, 12), "HTTP/1.1 100");
  peer.say("ok");
  EXPECT_NE(peer.hear().find("\r\n\r\nok"), std::string::npos);
}

TEST(HttpServer, RefusesAnOversizedHeader) {
  auto server = serve(echo);
  Request request;
  request.headers["x-long"] = std::string(20000, 'h');
  auto response = call(tcp(server->port()), request, soon());
  ASSERT_TRUE(response.ok()) << response.error().message;
  EXPECT_EQ(response->status, 431);
}

TEST(HttpServer, RefusesAnOversizedBody) {
  std::atomic<int> handled{0};
  auto server = serve([&](const Request& request) { return ++handled, echo(request); });
  Request request;
  request.method = "POST";
  request.body = std::string((1u << 20) + 1, 'b');
  auto response = call(tcp(server->port()), request, soon());
  ASSERT_TRUE(response.ok()) << response.error().message;
  EXPECT_EQ(response->status, 413);
  EXPECT_EQ(handled, 0);
  Raw peer(server->port());  // chunked, so that the length is not known beforehand
  peer.say("POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n");
  for (int i = 0; i < 20; ++i) peer.say("10000\r\n" + std::string(0x10000, 'c') + "\r\n");
  EXPECT_NE(peer.hear().find("HTTP/1.1 413"), std::string::npos);
  EXPECT_EQ(handled, 0);
  request.body.pop_back();
  EXPECT_EQ(call(tcp(server->port()), request, soon()).value().status, 200);
}

TEST(HttpServer, AnswersGarbageWith400AndLivesOn) {
  auto server = serve(echo);
  for (const char* garbage : {"\x16\x03\x01\x02 TLS hello\r\n\r\n", "GET\r\n\r\n", "GET / HTTP/9.9\r\n\r\n",
                              "GET / HTTP/1.1\r\nno colon\r\n\r\n", "POST / HTTP/1.1\r\ncontent-length: x\r\n\r\n"}) {
    Raw peer(server->port());
    peer.say(garbage);
    EXPECT_EQ(peer.hear().substr(0, 12), "HTTP/1.1 400") << garbage;
  }
  EXPECT_EQ(call(tcp(server->port()), {}, soon()).value().status, 200);
}

TEST(HttpServer, TurnsAwayMoreThan64Connections) {
  auto server = serve(echo);
  std::vector<std::unique_ptr<Raw>> peers;
  for (int i = 0; i < 64; ++i) {
    peers.push_back(std::make_unique<Raw>(server->port()));
    peers.back()->say("GET / HTTP/1.1\r\nhost: x\r\n\r\n");
    ASSERT_EQ(peers.back()->hear("\r\n\r\n").substr(0, 12), "HTTP/1.1 200");
  }
  Raw late(server->port());
  EXPECT_EQ(late.hear().substr(0, 12), "HTTP/1.1 503");
  peers.clear();
  Deadline limit = soon();
  int status = 0;
  while (status != 200 && !limit.expired()) {
    auto response = call(tcp(server->port()), {}, soon());
    if (response.ok()) status = response->status;
  }
  EXPECT_EQ(status, 200);  // those that left make room
}

TEST(HttpServer, EndsAtOnceWithIdleConnections) {
  auto server = serve(echo);
  Raw silent(server->port()), half(server->port()), idle(server->port());
  half.say("GET / HT");
  idle.say("GET / HTTP/1.1\r\nhost: x\r\n\r\n");
  idle.hear("\r\n\r\n");
  auto before = Deadline::Clock::now();
  server.reset();
  EXPECT_LT(Deadline::Clock::now() - before, seconds(2));
}

TEST(HttpServer, ARunningHandlerMayAnswerWhenTheServerEnds) {
  std::mutex mutex;
  std::condition_variable changed;
  bool running = false, go_on = false;
  auto server = serve([&](const Request&) {
    std::unique_lock lock(mutex);
    running = true;
    changed.notify_all();
    changed.wait(lock, [&] { return go_on; });
    return problem(200, "late");
  });
  Result<Response> response = Error();
  std::thread client([&, port = server->port()] { response = call(tcp(port), {}, soon()); });
  {
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return running; });
  }
  std::thread ender([&] { server.reset(); });
  {
    std::lock_guard lock(mutex);
    go_on = true;
  }
  changed.notify_all();
  ender.join();
  client.join();
  ASSERT_TRUE(response.ok()) << response.error().message;
  EXPECT_NE(response->body.find("late"), std::string::npos);
}

TEST(HttpServer, TellsWhenThePortIsTaken) {
  auto server = serve(echo);
  auto second = Server::start("127.0.0.1", server->port(), echo);
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.error().code, Code::kPortInUse);
  EXPECT_FALSE(Server::start("not an address", 0, echo).ok());
  EXPECT_EQ(Server::start("192.0.2.1", 0, echo).error().code, Code::kIo);
}

TEST(HttpServer, HasBearerWantsTheWholeToken) {
  Request request;
  EXPECT_FALSE(has_bearer(request, "t0ken"));
  request.headers["authorization"] = "Bearer t0ken";
  EXPECT_TRUE(has_bearer(request, "t0ken"));
  EXPECT_FALSE(has_bearer(request, "t0ke"));
  EXPECT_FALSE(has_bearer(request, "t0kenn"));
  request.headers["authorization"] = "Basic t0ken";
  EXPECT_FALSE(has_bearer(request, "t0ken"));
  request.headers["authorization"] = "Bearer ";
  EXPECT_FALSE(has_bearer(request, ""));  // no token set: nobody gets in
}

TEST(HttpClient, ReadsChunkedAnswersAndThoseThatEndWithTheConnection) {
  Canned chunked({"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "3\r\nabc\r\n", "2\r\nde\r\n0\r\n\r\n"});
  EXPECT_EQ(call(chunked.endpoint(), {}, soon()).value().body, "abcde");
  Canned closing({"HTTP/1.1 200 OK\r\n\r\n", "to the ", "end"});
  EXPECT_EQ(call(closing.endpoint(), {}, soon()).value().body, "to the end");
}

TEST(HttpClient, SpeaksOverUnixSockets) {
  std::string dir = temp_dir();
  {
    Canned server({"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK"}, dir + "/s");
    auto response = call(server.endpoint(), {}, soon());
    ASSERT_TRUE(response.ok()) << response.error().message;
    EXPECT_EQ(response->body, "OK");
    EXPECT_NE(server.request().find("Host: localhost\r\n"), std::string::npos) << server.request();
  }
  ::rmdir(dir.c_str());
}

TEST(HttpClient, RefusedAndAbsentAreUnreachable) {
  uint16_t free_port = 0;
  { free_port = serve(echo)->port(); }
  EXPECT_EQ(code_of(call(tcp(free_port), {}, soon())), Code::kUnreachable);
  Endpoint absent;
  absent.kind = Endpoint::Kind::kUnix;
  absent.path = "/nonexistent/socket";
  EXPECT_EQ(code_of(call(absent, {}, soon())), Code::kUnreachable);
  absent.path = "/" + std::string(200, 'x');
  EXPECT_EQ(code_of(call(absent, {}, soon())), Code::kUnreachable);
}

TEST(HttpClient, ASocketThatMayNotBeOpenedIsDenied) {
  std::string dir = temp_dir();
  {
    Canned server({"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"}, dir + "/s");
    ::chmod((dir + "/s").c_str(), 0);
    bool root = ::geteuid() == 0;
    ASSERT_EQ(root ? ::seteuid(65534) : 0, 0);
    ::chmod(dir.c_str(), 0711);
    auto response = call(server.endpoint(), {}, soon());
    ASSERT_EQ(root ? ::seteuid(0) : 0, 0);
    EXPECT_EQ(code_of(response), Code::kEngineDenied);
    ::chmod((dir + "/s").c_str(), 0600);
    EXPECT_TRUE(call(server.endpoint(), {}, soon()).ok());
  }
  ::rmdir(dir.c_str());
}

TEST(HttpClient, GivesUpAtTheDeadline) {
  for (const auto& pieces : std::vector<std::vector<std::string>>{{}, {"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab"}}) {
    // A listening socket whose server sends too little and does not close.
    int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in name = {};
    name.sin_family = AF_INET;
    name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof name;
    ASSERT_EQ(::bind(fd, reinterpret_cast<sockaddr*>(&name), size), 0);
    ASSERT_EQ(::listen(fd, 1), 0);
    ::getsockname(fd, reinterpret_cast<sockaddr*>(&name), &size);
    auto before = Deadline::Clock::now();
    Result<Response> response = Error();
    std::thread client([&] { response = call(tcp(ntohs(name.sin_port)), {}, Deadline::after(milliseconds(150))); });
    int peer = ::accept(fd, nullptr, nullptr);
    for (const std::string& piece : pieces) ::send(peer, piece.data(), piece.size(), MSG_NOSIGNAL);
    client.join();
    EXPECT_EQ(code_of(response), Code::kTimeout);
    EXPECT_LT(Deadline::Clock::now() - before, seconds(5));
    ::close(peer);
    ::close(fd);
  }
  EXPECT_EQ(code_of(call(tcp(1), {}, Deadline::after(milliseconds(0)))), Code::kTimeout);
}

TEST(HttpClient, GarbageAndBrokenAnswersAreErrors) {
  for (const char* garbage : {"SSH-2.0-OpenSSH_9.2\r\n\r\n", "HTTP/1.1 abc\r\n\r\n",
                              "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nshort",
                              "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", "\r"}) {
    Canned server({garbage});
    EXPECT_EQ(code_of(call(server.endpoint(), {}, soon())), Code::kIo) << garbage;
  }
}

TEST(HttpClient, ATargetThatWouldSmuggleHeadersIsRefused) {
  Request request;
  request.target = "/a\r\nx: y";
  EXPECT_EQ(code_of(call(tcp(1), request, soon())), Code::kUsage);
}

TEST(HttpClient, StreamHandsOutPiecesAndStopsWhenTold) {
  std::string head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
  Canned whole({head, "2\r\nab\r\n", "2\r\ncd\r\n", "0\r\n\r\n"});
  std::string seen;
  auto response = stream(whole.endpoint(), {}, soon(), [&](std::string_view piece) { return seen += piece, true; });
  ASSERT_TRUE(response.ok()) << response.error().message;
  EXPECT_EQ(seen, "abcd");
  EXPECT_EQ(response->body, "");
  Canned endless({head, "2\r\nab\r\n"});
  response = stream(endless.endpoint(), {}, soon(), [](std::string_view) { return false; });
  EXPECT_TRUE(response.ok());
  Canned refusing({"HTTP/1.1 404 Not Found\r\ncontent-length: 4\r\n\r\ngone"});
  response = stream(refusing.endpoint(), {}, soon(), [](std::string_view) { return ADD_FAILURE(), true; });
  ASSERT_TRUE(response.ok());
  EXPECT_EQ(response->body, "gone");
}

TEST(HttpEndpoint, ParsesAndPrints) {
  EXPECT_EQ(Endpoint::parse("unix:///var/run/docker.sock").value().path, "/var/run/docker.sock");
  EXPECT_EQ(Endpoint::parse("tcp://127.0.0.1").value().port, 2375);
  EXPECT_EQ(Endpoint::parse("http://[::1]:80/").value().host, "::1");
  EXPECT_EQ(Endpoint::parse("https://localhost").value().kind, Endpoint::Kind::kTls);
  for (const char* url : {"unix:///var/run/docker.sock", "tcp://[::1]:2375", "https://127.0.0.1:2376"}) {
    EXPECT_EQ(Endpoint::parse(url).value().str(), url);
  }
  for (const char* url : {"", "unix://", "unix://relative", "tcp://", "tcp://127.0.0.1:", "tcp://127.0.0.1:0",
                          "tcp://127.0.0.1:65536", "tcp://[::1", "tcp://[::1]x", "ssh://host", "127.0.0.1:80",
                          "tcp://example.invalid:1"}) {
    auto endpoint = Endpoint::parse(url);
    ASSERT_FALSE(endpoint.ok()) << url;
    EXPECT_EQ(endpoint.error().code, Code::kUsage);
  }
}

}  // namespace
}  // namespace pgb::http
