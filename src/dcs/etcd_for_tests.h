// For tests: real etcd servers, each with its own directory and free ports, gone with the object.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "dcs/etcd_client.h"
#include "http/client.h"
#include "os/file.h"
#include "os/subprocess.h"
#include "os/test_dir.h"

namespace pgb::dcs {

inline Deadline within(int seconds) { return Deadline::after(std::chrono::seconds(seconds)); }

inline uint16_t free_port() {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in name = {};
  name.sin_family = AF_INET;
  name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof name;
  EXPECT_EQ(::bind(fd, reinterpret_cast<sockaddr*>(&name), size), 0);
  EXPECT_EQ(::getsockname(fd, reinterpret_cast<sockaddr*>(&name), &size), 0);
  ::close(fd);
  return ntohs(name.sin_port);
}

inline bool has_etcd() { return os::find_program("etcd").ok(); }

class EtcdCluster {
 public:
  explicit EtcdCluster(size_t members, std::vector<std::string> more = {}, std::string scheme = "http")
      : more_(std::move(more)), scheme_(std::move(scheme)), pids_(members, -1) {
    for (size_t i = 0; i < members; ++i) ports_.push_back({free_port(), free_port()});
    for (size_t i = 0; i < members; ++i) start(i);
  }
  EtcdCluster(const EtcdCluster&) = delete;
  EtcdCluster& operator=(const EtcdCluster&) = delete;
  ~EtcdCluster() {
    for (size_t i = 0; i < pids_.size(); ++i) kill(i);
  }

  void start(size_t i) {
    std::string all;
    for (size_t j = 0; j < ports_.size(); ++j) {
      all += (j > 0 ? ",m" : "m") + std::to_string(j) + "=" + peer_url(j);
    }
    os::SpawnOptions options;
    const std::string name = "m" + std::to_string(i);
    options.argv = {"etcd",
                    "--name",
                    name,
                    "--data-dir",
                    dir_.path + "/" + name,
                    "--listen-client-urls",
                    url(i),
                    "--advertise-client-urls",
                    url(i),
                    "--listen-peer-urls",
                    peer_url(i),
                    "--initial-advertise-peer-urls",
                    peer_url(i),
                    "--initial-cluster",
                    all,
                    "--heartbeat-interval",
                    "50",
                    "--election-timeout",
                    "500"};
    options.argv.insert(options.argv.end(), more_.begin(), more_.end());
    options.pdeathsig = SIGKILL;
    options.stdout_file = options.stderr_file = dir_.path + "/" + name + ".log";
    auto pid = os::spawn(options);
    ASSERT_TRUE(pid.ok()) << pid.error().message;
    pids_[i] = *pid;
  }
  void kill(size_t i) {
    if (pids_[i] < 0) return;
    ::kill(pids_[i], SIGKILL);
    ::waitpid(pids_[i], nullptr, 0);
    pids_[i] = -1;
  }
  void signal(size_t i, int number) { ::kill(pids_[i], number); }

  std::string url(size_t i) const { return scheme_ + "://127.0.0.1:" + std::to_string(ports_[i].client); }
  std::string peer_url(size_t i) const { return "http://127.0.0.1:" + std::to_string(ports_[i].peer); }
  EtcdSettings settings() const {
    EtcdSettings made;
    for (size_t i = 0; i < ports_.size(); ++i) made.endpoints.push_back(url(i));
    return made;
  }
  const std::string& directory() const { return dir_.path; }

 private:
  struct Ports {
    uint16_t client, peer;
  };
  os::TestDir dir_;
  std::vector<std::string> more_;
  std::string scheme_;
  std::vector<Ports> ports_;
  std::vector<pid_t> pids_;
};

// An authority, a server's certificate for 127.0.0.1 and a client's, which has no common name: where its users are
// turned on etcd's gateway refuses who shows one.
class TestPki {
 public:
  TestPki() {
    make("ca", {"-subj", "/CN=authority"});
    const std::vector<std::string> signed_by_it = {"-CA", path("ca.crt"), "-CAkey", path("ca.key")};
    for (const char* who : {"server", "client"}) {
      std::vector<std::string> more = {"-subj",   std::string("/O=") + who,
                                       "-addext", "subjectAltName=IP:127.0.0.1",
                                       "-addext", "basicConstraints=critical,CA:FALSE"};
      more.insert(more.end(), signed_by_it.begin(), signed_by_it.end());
      make(who, more);
    }
  }
  // It shows its certificate, and wants to see one of the same authority.
  std::vector<std::string> server_arguments() const {
    return {"--cert-file",       path("server.crt"), "--key-file",        path("server.key"),
            "--trusted-ca-file", path("ca.crt"),     "--client-cert-auth"};
  }
  http::TlsTexts client() const {
    return {os::read_file(path("ca.crt")).value(), os::read_file(path("client.crt")).value(),
            Secret(os::read_file(path("client.key")).value())};
  }

 private:
  std::string path(const std::string& name) const { return dir_.path + "/" + name; }
  void make(const std::string& name, const std::vector<std::string>& more) {
    os::SpawnOptions options;
    options.argv = {"openssl",
                    "req",
                    "-x509",
                    "-newkey",
                    "ec",
                    "-pkeyopt",
                    "ec_paramgen_curve:prime256v1",
                    "-nodes",
                    "-keyout",
                    path(name + ".key"),
                    "-out",
                    path(name + ".crt"),
                    "-days",
                    "2"};
    options.argv.insert(options.argv.end(), more.begin(), more.end());
    auto done = os::run(options, within(30));
    ASSERT_TRUE(done.ok() && done->exit_code == 0) << (done.ok() ? done->err : done.error().message);
  }
  os::TestDir dir_;
};

inline http::Response posted(const std::string& url, const std::string& path, const std::string& body,
                             const http::TlsTexts& tls = {}) {
  http::Request request;
  request.method = "POST";
  request.target = path;
  request.body = body;
  http::Endpoint endpoint = http::Endpoint::parse(url).value();
  endpoint.tls = tls;
  auto response = http::call(endpoint, request, within(10));
  EXPECT_TRUE(response.ok()) << response.error().message;
  return response.ok() ? *response : http::Response();
}

// From now on it serves nobody but "root" with the password "sesame".
inline void want_password(const EtcdCluster& cluster, const http::TlsTexts& tls) {
  const std::pair<const char*, const char*> steps[] = {{"/v3/auth/user/add", R"({"name":"root","password":"sesame"})"},
                                                       {"/v3/auth/role/add", R"({"name":"root"})"},
                                                       {"/v3/auth/user/grant", R"({"user":"root","role":"root"})"},
                                                       {"/v3/auth/enable", "{}"}};
  for (const auto& [path, body] : steps) EXPECT_EQ(posted(cluster.url(0), path, body, tls).status, 200) << path;
}

inline std::unique_ptr<Dcs> client_of(EtcdSettings settings) {
  auto client = make_etcd_client(std::move(settings));
  EXPECT_TRUE(client.ok()) << (client.ok() ? "" : client.error().message);
  return client.ok() ? std::move(*client) : nullptr;
}

// Waits until the store answers a linearizable read.
inline void await_store(Dcs& store, int seconds = 30) {
  auto answer = store.range({"/ready", false}, within(seconds));
  ASSERT_TRUE(answer.ok()) << answer.error().message;
}

}  // namespace pgb::dcs
