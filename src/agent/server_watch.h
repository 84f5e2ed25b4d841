// Asks the agent's own server how it is, over and over, on a thread of its own.
#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "agent/wake.h"
#include "base/deadline.h"
#include "ha/view.h"
#include "pgclient/connection.h"

namespace pgb::agent {

// One answer of the server.
struct ServerFacts {
  ha::Time asked{};
  bool in_recovery = false;
  std::string system_id;
  uint64_t segment_size = 16 << 20;
  ha::Timeline timeline = 0;  // primary: of its WAL; standby: of what it receives, 0 if it does not
  ha::Lsn flushed = 0;        // primary: flushed; standby: the farthest of received and replayed
  ha::Lsn replayed = 0;
  bool end_known = false;  // standby: it has read all WAL that it had when it was started
  bool receiver = false;   // standby: a walreceiver is there, connected or not; found out before `flushed` is read
  bool streaming = false;  // standby: and it streams
  std::string sync_names;
  struct Sender {
    bool streaming = false;
    ha::Lsn flushed = 0;
    int pid = 0;
    bool operator==(const Sender&) const = default;
  };
  std::map<std::string, Sender> senders;  // primary: by application_name

  bool operator==(const ServerFacts&) const = default;
};

// Asks once, on a connection that stands. The errors are pgclient's.
Result<ServerFacts> ask_server(pgclient::Connection& connection, Deadline deadline);

// A primary commits something that is of no account, and waits for its own disk, not for a standby.
Status write_once(pgclient::Connection& connection, Deadline deadline);

class ServerWatch {
 public:
  // `whom` is called for each new connection, `on_news` after each answer, at a slow pace only if it says something
  // new; both on our thread.
  ServerWatch(std::function<pgclient::ConnInfo()> whom, std::function<void()> on_news);
  ~ServerWatch();

  // While on it is asked every `pace`; off: not at all, and what it said is forgotten.
  // `known`: what it has just said to somebody else.
  void set_running(bool running, std::optional<ServerFacts> known = std::nullopt);
  void set_pace(std::chrono::milliseconds pace);
  void ask_now();

  struct State {
    std::optional<ServerFacts> facts;  // the last answer since it was turned on
    ha::Time answered{};               // of the last answer: when the question was sent
    ha::Time welcomed{};               // when it took a new connection last
    ha::Time wrote{};                  // primary: when something was begun to be written that is on its disk now
    std::string error;                 // why the last question had no answer; empty: it had
  };
  State state() const;

 private:
  void work();
  void await(const pgclient::Connection* connection, std::chrono::milliseconds pause);
  void wake_all();
  void greet();
  void beat();

  std::function<pgclient::ConnInfo()> whom_;
  std::function<void()> on_news_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  Wake wake_;  // the same for who waits for its connection, too
  bool ends_ = false, running_ = false, now_ = false;
  uint64_t turn_ = 0;  // of set_running(): answers to older questions do not count
  std::chrono::milliseconds pace_{300};
  State state_;
  std::thread thread_, greeter_, beater_;  // last: they use the others
};

}  // namespace pgb::agent
