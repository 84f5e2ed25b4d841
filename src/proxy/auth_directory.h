// Users' secrets, asked from a live server by SELECT pgbalancer.get_auth(user) on a thread of its own and remembered
// for five seconds, and for an hour for those who are to be let in where no server can be asked. Thread-safe.
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
#include "proxy/settings.h"
#include "proxy/topology_snapshot.h"
#include "proxy/user_secret.h"

namespace pgb::proxy {

class AuthDirectory {
 public:
  // What will do while no server answers: nothing, or what one has said within the last hour.
  enum class Unasked { kNothing, kRemembered };
  // Empty for a user that does not exist or has no password.
  using Answer = Result<UserSecret>;
  using OnAnswer = std::function<void(Answer)>;

  // `salt_secret` as read_user_secret() takes it.
  AuthDirectory(const Settings& settings, Secret salt_secret, TopologyPtr topology);
  ~AuthDirectory();
  AuthDirectory(const AuthDirectory&) = delete;
  AuthDirectory& operator=(const AuthDirectory&) = delete;

  // Calls `on_answer` once, on the directory's thread or at once; the error (no server could be asked
  // until the deadline) names the nodes. Not called any more once stop() has returned.
  void look_up(const std::string& user, Deadline deadline, OnAnswer on_answer, Unasked unasked = Unasked::kNothing);
  // A login with what we remember failed: ask anew next time.
  void forget(const std::string& user);
  // Whether look_up() gives what the configuration says, or asks with a query of the configuration's.
  bool is_configured(const std::string& user) const;
  // To log in as a user whose password is configured; empty if it is not.
  pgwire::Credentials configured(const std::string& user) const;
  // The keys that the proof of a client of this user gave last, for those who need not prove anything: nothing if there
  // were none. A server that refuses them makes them forgotten.
  void keep_keys(const std::string& user, const pgwire::ScramKeys& keys);
  std::optional<pgwire::ScramKeys> kept_keys(const std::string& user) const;
  void forget_keys(const std::string& user);
  void apply(TopologyPtr topology);
  void stop();

 private:
  struct Request {
    std::string user;
    Deadline deadline;
    OnAnswer on_answer;
    Unasked unasked;
  };
  struct Known {
    UserSecret secret;
    Deadline until, remembered;
  };

  void read_fixed();
  void run();
  void serve(std::vector<Request> requests);
  Answer ask(const std::string& user);
  Status connect();
  std::optional<UserSecret> known(const std::string& user);
  bool nobody_is_up();
  std::optional<UserSecret> remembered(const std::string& user);

  const Settings& settings_;
  const Secret salt_secret_;
  std::map<std::string, UserSecret> fixed_;  // of settings_.users; does not change
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  bool stopped_ = false;  // guarded by mutex_, like all up to keys_
  TopologyPtr topology_;
  std::vector<Request> requests_;
  std::map<std::string, Known> known_;
  std::map<std::string, pgwire::ScramKeys> keys_;     // of users that there are: no more than these
  std::unique_ptr<pgclient::Connection> connection_;  // the thread's own, like the next three
  std::string connected_to_;
  std::shared_ptr<const net::TlsContext> connected_by_;
  Deadline idle_at_ = Deadline::never();
  std::thread thread_;
};

}  // namespace pgb::proxy
