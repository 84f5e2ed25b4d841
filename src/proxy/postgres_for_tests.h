// A real PostgreSQL server for tests, in a directory of its own, with fsync off. As root it runs as
// the user postgres.
#pragma once

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "net/socket.h"
#include "os/file.h"
#include "os/subprocess.h"
#include "os/users.h"
#include "pgclient/connection.h"

namespace pgb::proxy {

inline std::string newest_bin() {
  const std::string base = "/usr/lib/postgresql";
  std::string found;
  int best = 0;
  const auto names = os::list_dir(base);
  if (!names) return found;
  for (const std::string& name : *names) {
    const std::string bin = base + "/" + name + "/bin";
    if (std::atoi(name.c_str()) <= best || !os::exists(bin + "/initdb")) continue;
    best = std::atoi(name.c_str());
    found = bin;
  }
  return found;
}

inline uint16_t free_port() {
  auto fd = net::listen_on(*net::Address::parse("127.0.0.1", 0));
  return fd ? net::Address::local_of(fd->get()).port() : 0;
}

// A server in a directory of its own, with fsync off.
class Postgres {
 public:
  static Result<std::unique_ptr<Postgres>> create() {
    std::unique_ptr<Postgres> made(new Postgres());
    PGB_TRY(made->init());
    PGB_TRY(made->start());
    PGB_TRY(made->set_up());
    return made;
  }
  ~Postgres() {
    kill();
    if (auto gone = os::remove_tree(dir_); !gone) ADD_FAILURE() << gone.error().message;
  }

  Status start() {
    os::SpawnOptions options = as_postgres({bin_ + "/postgres", "-D", dir_ + "/data", "-p", std::to_string(port_), "-k",
                                            dir_, "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off", "-c",
                                            "max_connections=250", "-c", "shared_buffers=16MB"});
    options.stderr_file = options.stdout_file = dir_ + "/log";
    auto pid = os::spawn(options);
    if (!pid) return std::move(pid).error();
    pid_ = *pid;
    const Deadline deadline = Deadline::after(std::chrono::seconds(30));
    for (;;) {
      auto open = admin(Deadline::after(std::chrono::seconds(1)));
      if (open) return Status();
      if (deadline.expired()) return std::move(open).error();
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
  }
  void kill() {  // all at once: the postmaster's children leave when it is gone
    if (pid_ <= 0) return;
    ::kill(pid_, SIGQUIT);
    ::waitpid(pid_, nullptr, 0);
    pid_ = 0;
  }

  // As superuser over the Unix socket.
  Result<std::unique_ptr<pgclient::Connection>> admin(Deadline deadline) const {
    pgclient::ConnInfo info;
    info.host = dir_;
    info.port = port_;
    info.user = "postgres";
    info.database = "postgres";
    return pgclient::Connection::open(info, deadline);
  }
  Status sql(const std::string& text) const {
    auto connection = admin(Deadline::after(std::chrono::seconds(5)));
    if (!connection) return std::move(connection).error();
    auto done = (*connection)->query(text, Deadline::after(std::chrono::seconds(20)));
    return done ? Status() : Status(std::move(done).error());
  }
  uint16_t port() const { return port_; }
  const std::string& dir() const { return dir_; }

 private:
  Postgres() = default;

  os::SpawnOptions as_postgres(std::vector<std::string> argv) const {
    os::SpawnOptions options;
    options.argv = std::move(argv);
    options.cwd = dir_;
    options.pdeathsig = SIGQUIT;
    if (user_.uid != 0) {
      options.uid = user_.uid;
      options.gid = user_.gid;
    }
    return options;
  }

  Status init() {
    bin_ = newest_bin();
    if (bin_.empty()) return Error(Code::kNoPostgres, "no PostgreSQL below /usr/lib/postgresql");
    char name[] = "/tmp/pgb_proxy_XXXXXX";
    if (::mkdtemp(name) == nullptr) return Error(Code::kIo, "mkdtemp failed");
    dir_ = name;
    if (::geteuid() == 0) {
      auto user = os::find_user("postgres");
      if (!user) return std::move(user).error();
      user_ = *user;
      PGB_TRY(os::chown_tree(dir_, user_.uid, user_.gid));
      if (::chmod(dir_.c_str(), 0755) != 0) return Error(Code::kIo, "chmod failed");
    }
    auto made = os::run(as_postgres({bin_ + "/initdb", "-D", dir_ + "/data", "-U", "postgres", "--no-sync",
                                     "--auth-local=trust", "--auth-host=scram-sha-256", "-E", "UTF8", "--locale=C"}),
                        Deadline::after(std::chrono::seconds(60)));
    if (!made) return std::move(made).error();
    if (made->exit_code != 0) return Error(Code::kTool, "initdb: " + made->err);
    port_ = free_port();
    return Status();
  }

  Status set_up() {
    PGB_TRY(sql("CREATE DATABASE app"));
    return sql(
        "CREATE ROLE pgbalancer LOGIN PASSWORD 'balance';"
        "CREATE ROLE alice LOGIN PASSWORD 'wonder''land';"
        "CREATE ROLE nopass LOGIN;"
        "ALTER DATABASE app OWNER TO alice;"
        "CREATE SCHEMA pgbalancer; GRANT USAGE ON SCHEMA pgbalancer TO pgbalancer;"
        "CREATE FUNCTION pgbalancer.get_auth(name text) RETURNS text LANGUAGE sql STABLE SECURITY DEFINER "
        "SET search_path = pg_catalog AS 'SELECT rolpassword FROM pg_authid WHERE rolname = name AND rolcanlogin';"
        "REVOKE ALL ON FUNCTION pgbalancer.get_auth(text) FROM PUBLIC;"
        "GRANT EXECUTE ON FUNCTION pgbalancer.get_auth(text) TO pgbalancer;");
  }

  std::string bin_, dir_;
  os::User user_;
  uint16_t port_ = 0;
  pid_t pid_ = 0;
};

}  // namespace pgb::proxy
