// Agents against real PostgreSQL servers, each in a process of its own.
#pragma once

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <vector>

#include "agent/agent.h"
#include "agent/config_files.h"
#include "api/agent_api.h"
#include "os/file.h"
#include "os/test_dir.h"
#include "pgclient/connection.h"

namespace pgb::agent {

using std::chrono::milliseconds;

// A port that nobody uses just now.
inline uint16_t free_port() {
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  ::bind(fd, reinterpret_cast<sockaddr*>(&address), size);
  ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size);
  ::close(fd);
  return ntohs(address.sin_port);
}

class AgentTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ::chmod(dir_.path.c_str(), 0755);
    primary_ = make_config("primary1", true);
    replica_ = make_config("replica1", false);
    replica_.primary_host = "127.0.0.1";
    replica_.primary_port = primary_.port;
  }
  void TearDown() override {
    for (pid_t pid : started_) end(pid, SIGKILL);
  }

  AgentConfig make_config(const std::string& name, bool primary) {
    AgentConfig config;
    config.cluster = "test";
    config.name = name;
    config.primary = primary;
    config.config_dir = dir_.path + "/" + name;
    config.data_dir = config.config_dir + "/data/pgdata";
    config.run_as_user = "postgres";
    config.listen_address = config.agent_address = "127.0.0.1";
    config.port = free_port();
    config.agent_port = free_port();
    config.token = Secret("token");
    config.superuser = "postgres";
    config.database = "testdb";
    config.replication_user = "replicator";
    config.superuser_password = Secret("super");
    config.replication_password = Secret("repl");
    config.agent_password = Secret("agent");
    config.balancer_password = Secret("balancer");
    config.parameters = {{"wal_level", "replica"}, {"max_wal_senders", "10"}, {"fsync", "off"}};
    config.slot = name;
    EXPECT_TRUE(os::make_dirs(config.config_dir, 0755).ok());
    return config;
  }

  void add_init_sql(AgentConfig& config, const std::string& sql) {
    config.init_sql = {"1-init.sql"};
    ASSERT_TRUE(os::write_file_atomic(config.config_dir + "/1-init.sql", sql, 0600).ok());
  }

  // A child process that is the agent.
  pid_t start(const AgentConfig& config) {
    EXPECT_TRUE(os::write_file_atomic(config.config_dir + "/agent.json", to_json(config), 0600).ok());
    EXPECT_TRUE(os::write_file_atomic(config.config_dir + "/group.json", to_group_json(config), 0644).ok());
    const pid_t pid = fork();
    if (pid == 0) {
      const int log = ::open((config.config_dir + "/log").c_str(), O_WRONLY | O_CREAT | O_APPEND, 0644);
      ::dup2(log, 1);
      ::dup2(log, 2);
      auto loaded = load_agent_config(config.config_dir + "/agent.json");
      _exit(loaded.ok() ? run(*loaded) : 3);
    }
    started_.push_back(pid);
    return pid;
  }

  static int end(pid_t pid, int signal) {
    if (pid == 0) return -1;
    ::kill(pid, signal);
    int status = 0;
    if (::waitpid(pid, &status, 0) != pid) return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }
  int end_and_forget(pid_t pid, int signal) {
    std::erase(started_, pid);
    return end(pid, signal);
  }

  static Result<api::AgentState> state(const AgentConfig& config) {
    return api::agent_state({"127.0.0.1", config.agent_port, config.token}, Deadline::after(milliseconds(2000)));
  }

  ::testing::AssertionResult becomes_healthy(const AgentConfig& config) {
    const Deadline deadline = Deadline::after(milliseconds(30000));
    auto last = state(config);
    for (; !deadline.expired(); poll(nullptr, 0, 20), last = state(config)) {
      if (last.ok() && last->healthy()) return ::testing::AssertionSuccess();
    }
    auto log = os::read_file(config.config_dir + "/log");
    return ::testing::AssertionFailure() << (last.ok() ? last->phase + ": " + last->detail : last.error().message)
                                         << (log.ok() ? *log : "");
  }

  static std::string ask(const AgentConfig& config, const std::string& sql) {
    pgclient::ConnInfo info;
    info.host = "127.0.0.1";
    info.port = config.port;
    info.user = "postgres";
    info.password = Secret("super");
    info.database = "testdb";
    auto connection = pgclient::Connection::open(info, Deadline::after(milliseconds(5000)));
    if (!connection.ok()) return "error: " + connection.error().message;
    auto answer = (*connection)->query(sql, Deadline::after(milliseconds(5000)));
    if (!answer.ok()) return "error: " + answer.error().message;
    return answer->at(0).rows.empty() ? "" : answer->at(0).rows[0][0].value_or("null");
  }

  os::TestDir dir_;
  AgentConfig primary_, replica_;
  std::vector<pid_t> started_;
};

}  // namespace pgb::agent
