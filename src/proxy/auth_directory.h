// Users' SCRAM verifiers, asked from a live server by SELECT pgbalancer.get_auth(user) on a thread of
// its own and remembered for five seconds. Thread-safe.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/deadline.h"
#include "base/result.h"
#include "pgclient/connection.h"
#include "pgwire/scram.h"
#include "proxy/settings.h"
#include "proxy/topology_snapshot.h"

namespace pgb::proxy {

class AuthDirectory {
 public:
  // A verifier; nothing for a user that does not exist or has no SCRAM password.
  using Answer = Result<std::optional<pgwire::ScramVerifier>>;
  using OnAnswer = std::function<void(Answer)>;

  AuthDirectory(const Settings& settings, TopologyPtr topology);
  ~AuthDirectory();
  AuthDirectory(const AuthDirectory&) = delete;
  AuthDirectory& operator=(const AuthDirectory&) = delete;

  // Calls `on_answer` once, on the directory's thread or at once; the error (no server could be asked
  // until the deadline) names the nodes. Not called any more once stop() has returned.
  void look_up(const std::string& user, Deadline deadline, OnAnswer on_answer);
  // A login with what we remember failed: ask anew next time.
  void forget(const std::string& user);
  void apply(TopologyPtr topology);
  void stop();

 private:
  struct Request {
    std::string user;
    Deadline deadline;
    OnAnswer on_answer;
  };
  struct Known {
    std::optional<pgwire::ScramVerifier> verifier;
    Deadline until;
  };

  void read_fixed();
  void run();
  void serve(std::vector<Request> requests);
  Answer ask(const std::string& user);
  Status connect();
  std::optional<std::optional<pgwire::ScramVerifier>> known(const std::string& user);

  const Settings& settings_;
  std::map<std::string, pgwire::ScramVerifier> fixed_;  // of settings_.users; does not change
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopped_ = false;  // guarded by mutex_, like all up to known_
  TopologyPtr topology_;
  std::vector<Request> requests_;
  std::map<std::string, Known> known_;
  std::unique_ptr<pgclient::Connection> connection_;  // the thread's own, like the next three
  std::string connected_to_;
  std::shared_ptr<const net::TlsContext> connected_by_;
  Deadline idle_at_ = Deadline::never();
  std::thread thread_;
};

}  // namespace pgb::proxy
