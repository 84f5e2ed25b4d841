#include <fcntl.h>
#include <gtest/gtest.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>

#include <string>
#include <thread>

#include "net/buffer.h"
#include "net/socket_pair_for_tests.h"
#include "net/stream.h"

namespace pgb::net {
namespace {

using Kind = IoResult::Kind;

class Tls : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/pgb_net_XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    dir_ = name;
    const std::string command =
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 "
        "-subj /CN=test -keyout " +
        dir_ + "/key.pem -out " + dir_ + "/cert.pem 2>/dev/null";
    ASSERT_EQ(std::system(command.c_str()), 0);
  }
  void TearDown() override { ASSERT_EQ(std::system(("rm -rf '" + dir_ + "'").c_str()), 0); }
  std::string dir_;
};

TEST_F(Tls, CarriesMegabytesBothWaysOverANonBlockingSocket) {
  auto context = TlsContext::server(dir_ + "/cert.pem", dir_ + "/key.pem");
  ASSERT_TRUE(context) << context.error().message;
  SocketPair pair;
  auto stream = tls_server_stream(std::move(pair.near), **context);
  ASSERT_TRUE(stream);
  EXPECT_TRUE(stream->encrypted());
  const std::string sent(3 << 20, 'q');
  std::string answer;
  std::thread client([&] {  // sends everything, then reads as much again
    const int fd = pair.far.get();
    fcntl(fd, F_SETFL, 0);
    SSL_CTX* made = SSL_CTX_new(TLS_client_method());
    SSL* ssl = SSL_new(made);
    SSL_set_fd(ssl, fd);
    if (SSL_connect(ssl) == 1 && SSL_write(ssl, sent.data(), static_cast<int>(sent.size())) > 0) {
      char bytes[8192];
      int got = 0;
      while (answer.size() < sent.size() && (got = SSL_read(ssl, bytes, sizeof bytes)) > 0) {
        answer.append(bytes, static_cast<size_t>(got));
      }
    }
    SSL_free(ssl);
    SSL_CTX_free(made);
    pair.far.reset();
  });
  Buffer echo;
  size_t received = 0;
  bool ended = false;
  while (!ended) {
    pollfd waiting = {stream->fd(), static_cast<short>(POLLIN | (echo.empty() ? 0 : POLLOUT)), 0};
    ASSERT_EQ(::poll(&waiting, 1, 10000), 1);
    char bytes[4096];
    for (;;) {
      const IoResult got = stream->read(bytes, sizeof bytes);
      ended = ended || got.kind == Kind::kClosed || got.kind == Kind::kFailed;
      if (got.kind != Kind::kDone) break;
      received += got.count;
      echo.append(std::string_view(bytes, got.count));
    }
    if (received < sent.size()) continue;  // its client does not read before it has sent all
    while (!echo.empty()) {
      const IoResult put = stream->write(echo.view());
      if (put.kind != Kind::kDone) break;
      echo.consume(put.count);
    }
  }
  client.join();
  EXPECT_EQ(received, sent.size());
  EXPECT_EQ(answer.size(), sent.size());
}

TEST_F(Tls, GarbageInsteadOfAHandshakeIsAFailureNotACrash) {
  auto context = TlsContext::server(dir_ + "/cert.pem", dir_ + "/key.pem");
  ASSERT_TRUE(context);
  SocketPair pair;
  auto stream = tls_server_stream(std::move(pair.near), **context);
  ASSERT_EQ(::write(pair.far.get(), "GET / HTTP/1.1\r\n\r\n", 18), 18);
  char bytes[64];
  EXPECT_EQ(stream->read(bytes, sizeof bytes).kind, Kind::kFailed);
  pair.far.reset();
  EXPECT_EQ(stream->write("x").kind, Kind::kFailed);  // and no SIGPIPE
  stream->shut_down();
}

TEST_F(Tls, AWrongFileIsNamed) {
  const auto absent = TlsContext::server(dir_ + "/none.pem", dir_ + "/key.pem");
  ASSERT_FALSE(absent);
  EXPECT_NE(absent.error().message.find("none.pem"), std::string::npos);
  const auto swapped = TlsContext::server(dir_ + "/cert.pem", dir_ + "/cert.pem");
  ASSERT_FALSE(swapped);
  EXPECT_NE(swapped.error().message.find("cert.pem"), std::string::npos);
}

// Two ends of one connection; both handshakes are taken turn by turn.
struct Ends {
  std::unique_ptr<Stream> server, client;
  Kind server_got = Kind::kWait, client_got = Kind::kWait;

  Ends(const TlsContext& servers, const TlsContext& clients, const std::string& host, std::string early = {}) {
    SocketPair pair;
    server = tls_server_stream(std::move(pair.near), servers, std::move(early));
    client = tls_client_stream(std::move(pair.far), clients, host);
    if (!server || !client) return;
    for (int i = 0; i < 20; ++i) {
      if (client_got == Kind::kWait) client_got = client->handshake().kind;
      if (server_got == Kind::kWait) server_got = server->handshake().kind;
    }
  }
  bool up() const { return server_got == Kind::kDone && client_got == Kind::kDone; }
};

// An authority, a server's certificate of it for some host, and a client's for alice.
class Trust : public Tls {
 protected:
  void SetUp() override {
    Tls::SetUp();  // cert.pem, key.pem: signed by themselves
    run("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=authority "
        "-keyout ca.key -out ca.pem");
    sign("server", "/CN=somewhere", "subjectAltName=DNS:db.example,IP:10.0.0.1");
    sign("client", "/O=x/CN=alice", "keyUsage=digitalSignature");
  }
  void run(const std::string& command) {
    ASSERT_EQ(std::system(("(cd " + dir_ + " && " + command + ") 2>/dev/null").c_str()), 0) << command;
  }
  void sign(const std::string& name, const std::string& subject, const std::string& extension) {
    run("openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj '" + subject + "' -keyout " + name +
        ".key -out " + name + ".csr && echo '" + extension + "' > ext && openssl x509 -req -days 2 -in " + name +
        ".csr -CA ca.pem -CAkey ca.key -CAcreateserial -extfile ext -out " + name + ".pem");
  }
  std::string at(const char* name) const { return dir_ + "/" + name; }
  std::shared_ptr<const TlsContext> server(const char* ca = "") const {
    auto made = TlsContext::server(at("server.pem"), at("server.key"), *ca == 0 ? "" : at(ca));
    if (!made) ADD_FAILURE() << made.error().message;
    return made ? *made : nullptr;
  }
  std::shared_ptr<const TlsContext> client(TlsVerify verify, const char* ca = "ca.pem", const char* name = "") const {
    TlsClientFiles files;
    files.verify = verify;
    files.ca_file = at(ca);
    if (*name != 0) files.cert_file = at(name) + ".pem", files.key_file = at(name) + ".key";
    auto made = TlsContext::client(files);
    if (!made) ADD_FAILURE() << made.error().message;
    return made ? *made : nullptr;
  }
};

TEST_F(Trust, BothEndsKnowTheSameEndPointAndAgreeOnTheProtocol) {
  Ends ends(*server(), *client(TlsVerify::kNothing), "");
  ASSERT_TRUE(ends.up());
  EXPECT_EQ(ends.server->end_point().size(), 32u);
  EXPECT_EQ(ends.server->end_point(), ends.client->end_point());
  EXPECT_EQ(ends.server->application_protocol(), "postgresql");
  EXPECT_EQ(ends.client->application_protocol(), "postgresql");
  EXPECT_FALSE(ends.client->peer_verified()) << "nobody asked";
  EXPECT_EQ(ends.server->peer_common_name(), "");
  SocketPair pair;
  EXPECT_EQ(plain_stream(std::move(pair.near))->end_point(), "");
  EXPECT_EQ(tls_server_stream(std::move(pair.far), *server())->end_point(), "") << "before the handshake";
}

TEST_F(Trust, TheEndPointIsTheHashOfTheCertificatesSignature) {
  run("openssl req -x509 -newkey rsa:2048 -sha512 -nodes -days 2 -subj /CN=x -keyout long.key -out long.pem");
  run("openssl req -x509 -newkey ed25519 -nodes -days 2 -subj /CN=x -keyout none.key -out none.pem");
  for (const auto& [name, size] : {std::pair("long", 64u), std::pair("none", 0u)}) {
    auto context = TlsContext::server(at(name) + ".pem", at(name) + ".key");
    ASSERT_TRUE(context) << context.error().message;
    Ends ends(**context, *client(TlsVerify::kNothing), "");
    ASSERT_TRUE(ends.up()) << name;
    EXPECT_EQ(ends.server->end_point().size(), size) << name;
    EXPECT_EQ(ends.client->end_point(), ends.server->end_point()) << name;
  }
}

TEST_F(Trust, AServersCertificateIsHeldAgainstAuthorityAndHost) {
  const auto servers = server();
  const auto why = [&](TlsVerify verify, const char* ca, const char* host) {
    Ends ends(*servers, *client(verify, ca), host);
    return ends.client_got == Kind::kDone ? "up" : ends.client->failure();
  };
  EXPECT_EQ(why(TlsVerify::kNothing, "cert.pem", "other.example"), "up");
  EXPECT_EQ(why(TlsVerify::kChain, "ca.pem", "other.example"), "up");
  EXPECT_NE(why(TlsVerify::kChain, "cert.pem", "db.example").find("not trusted"), std::string::npos);
  EXPECT_EQ(why(TlsVerify::kHost, "ca.pem", "db.example"), "up");
  EXPECT_EQ(why(TlsVerify::kHost, "ca.pem", "10.0.0.1"), "up");
  EXPECT_NE(why(TlsVerify::kHost, "ca.pem", "other.example").find("hostname mismatch"), std::string::npos);
  EXPECT_NE(why(TlsVerify::kHost, "ca.pem", "10.0.0.2").find("IP address mismatch"), std::string::npos);
  EXPECT_NE(why(TlsVerify::kHost, "ca.pem", "db").find("hostname mismatch"), std::string::npos);
  SocketPair pair;
  EXPECT_EQ(tls_client_stream(std::move(pair.near), *client(TlsVerify::kHost), ""), nullptr) << "no host is not any";
}

TEST_F(Trust, AClientsCertificateGivesItsNameOnlyWhenItIsVouchedFor) {
  const auto asking = server("ca.pem");
  Ends known(*asking, *client(TlsVerify::kNothing, "ca.pem", "client"), "");
  ASSERT_TRUE(known.up());
  EXPECT_TRUE(known.server->peer_verified());
  EXPECT_EQ(known.server->peer_common_name(), "alice");

  Ends none(*asking, *client(TlsVerify::kNothing), "");
  ASSERT_TRUE(none.up());
  EXPECT_FALSE(none.server->peer_verified());
  EXPECT_EQ(none.server->peer_common_name(), "");

  const auto strangers = server("cert.pem");
  Ends strange(*strangers, *client(TlsVerify::kNothing, "ca.pem", "client"), "");
  EXPECT_EQ(strange.server_got, Kind::kFailed);
  EXPECT_NE(strange.server->failure().find("not trusted"), std::string::npos) << strange.server->failure();

  Ends unasked(*server(), *client(TlsVerify::kNothing, "ca.pem", "client"), "");
  ASSERT_TRUE(unasked.up());
  EXPECT_EQ(unasked.server->peer_common_name(), "");
}

TEST_F(Trust, WhatWasReadBeforeTlsBeganIsNotLost) {
  SocketPair pair;
  auto near = tls_client_stream(std::move(pair.near), *client(TlsVerify::kNothing), "");
  ASSERT_EQ(near->handshake().kind, Kind::kWait);
  char hello[4096];
  const ssize_t size = ::recv(pair.far.get(), hello, sizeof hello, 0);
  ASSERT_GT(size, 0);
  EXPECT_EQ(hello[0], 0x16);
  auto far = tls_server_stream(std::move(pair.far), *server(), std::string(hello, static_cast<size_t>(size)));
  EXPECT_EQ(far->handshake().kind, Kind::kWait);
  EXPECT_EQ(near->handshake().kind, Kind::kDone);
  EXPECT_EQ(near->write("hello").count, 5u);
  char bytes[16];
  EXPECT_EQ(far->read(bytes, sizeof bytes).count, 5u);
}

TEST_F(Trust, AClientOfAnotherProtocolIsRefused) {
  const auto http = client(TlsVerify::kNothing);
  SSL_CTX_set_alpn_protos(http->get(), reinterpret_cast<const unsigned char*>("\x08http/1.1"), 9);
  Ends ends(*server(), *http, "");
  EXPECT_EQ(ends.server_got, Kind::kFailed);
  SSL_CTX_set_alpn_protos(http->get(), nullptr, 0);
  Ends silent(*server(), *http, "");
  ASSERT_TRUE(silent.up());
  EXPECT_EQ(silent.server->application_protocol(), "");
}

TEST_F(Trust, FilesThatAreMissingOrLockedAreNamed) {
  const auto no_ca = TlsContext::server(at("server.pem"), at("server.key"), at("gone.pem"));
  ASSERT_FALSE(no_ca);
  EXPECT_NE(no_ca.error().message.find("gone.pem"), std::string::npos);
  TlsClientFiles files;
  files.verify = TlsVerify::kChain;
  files.ca_file = at("gone.pem");
  EXPECT_NE(TlsContext::client(files).error().message.find("gone.pem"), std::string::npos);
  run("openssl ec -in server.key -aes128 -passout pass:secret -out locked.key");
  const auto locked = TlsContext::server(at("server.pem"), at("locked.key"));
  ASSERT_FALSE(locked) << "and no question at the terminal";
  EXPECT_NE(locked.error().message.find("locked.key"), std::string::npos);
}

}  // namespace
}  // namespace pgb::net
