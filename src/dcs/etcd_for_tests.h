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
