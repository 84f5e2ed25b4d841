#include <gtest/gtest.h>
#include <sys/stat.h>

#include <atomic>
#include <thread>

#include "http/test_peers.h"

namespace pgb::http {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

Code code_of(const Result<Response>& result) { return result.ok() ? Code::kInternal : result.error().code; }

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

// Of the connection that a request came over, as the server sees it.
std::string port_of_peer(int fd) {
  sockaddr_in name = {};
  socklen_t size = sizeof name;
  EXPECT_EQ(::getsockname(fd, reinterpret_cast<sockaddr*>(&name), &size), 0);
  return std::to_string(ntohs(name.sin_port));
}

TEST(KeptConnection, CarriesOneRequestAfterTheOther) {
  auto server = serve(echo);
  KeptConnection kept(tcp(server->port()));
  EXPECT_EQ(kept.fd(), -1);
  Request request;
  request.method = "POST";
  request.body = "1";
  ASSERT_TRUE(kept.call(request, soon()).ok());
  EXPECT_FALSE(kept.reused());
  ASSERT_GE(kept.fd(), 0);
  const std::string first = port_of_peer(kept.fd());
  request.body = std::string(100'000, 'x');
  auto second = kept.call(request, soon());
  ASSERT_TRUE(second.ok()) << second.error().message;
  EXPECT_EQ(second->body, request.body);
  EXPECT_TRUE(kept.reused());
  EXPECT_EQ(port_of_peer(kept.fd()), first);
}

TEST(KeptConnection, OpensAnotherWhereTheServerEndedIt) {
  auto server = serve(echo);
  const uint16_t port = server->port();
  KeptConnection kept(tcp(port));
  ASSERT_TRUE(kept.call({}, soon()).ok());
  server.reset();
  auto refused = kept.call({}, soon());
  EXPECT_EQ(code_of(refused), Code::kUnreachable);
  EXPECT_FALSE(kept.reused());
  EXPECT_EQ(kept.fd(), -1);
  auto again = Server::start("127.0.0.1", port, echo);
  ASSERT_TRUE(again.ok()) << again.error().message;
  EXPECT_TRUE(kept.call({}, soon()).ok());
}

TEST(KeptConnection, IsNotKeptWhereTheServerClosesIt) {
  Canned closing({"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nOK"});
  KeptConnection kept(closing.endpoint());
  ASSERT_TRUE(kept.call({}, soon()).ok());
  EXPECT_EQ(kept.fd(), -1);
}

TEST(KeptConnection, AFailureEndsIt) {
  std::atomic<bool> slow{false};
  auto server = serve([&](const Request& request) {
    if (slow) std::this_thread::sleep_for(milliseconds(300));
    return echo(request);
  });
  KeptConnection kept(tcp(server->port()));
  ASSERT_TRUE(kept.call({}, soon()).ok());
  slow = true;
  EXPECT_EQ(code_of(kept.call({}, Deadline::after(milliseconds(50)))), Code::kTimeout);
  EXPECT_TRUE(kept.reused());
  EXPECT_EQ(kept.fd(), -1) << "its late answer would be taken for the next one's";
  slow = false;
  EXPECT_TRUE(kept.call({}, soon()).ok());
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
  for (const auto& pieces :
       std::vector<std::vector<std::string>>{{}, {"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab"}}) {
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
  for (const char* garbage :
       {"SSH-2.0-OpenSSH_9.2\r\n\r\n", "HTTP/1.1 abc\r\n\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nshort",
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
  for (const char* url :
       {"", "unix://", "unix://relative", "tcp://", "tcp://127.0.0.1:", "tcp://127.0.0.1:0", "tcp://127.0.0.1:65536",
        "tcp://[::1", "tcp://[::1]x", "ssh://host", "127.0.0.1:80", "tcp://example.invalid:1"}) {
    auto endpoint = Endpoint::parse(url);
    ASSERT_FALSE(endpoint.ok()) << url;
    EXPECT_EQ(endpoint.error().code, Code::kUsage);
  }
}

}  // namespace
}  // namespace pgb::http
