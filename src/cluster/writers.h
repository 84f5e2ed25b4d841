// Clients that write through a balancer as fast as they are answered: what they are told, and when.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/deadline.h"
#include "pgclient/connection.h"

namespace pgb::cluster {

struct Ack {
  int writer = 0;
  uint64_t number = 0;
  Deadline::Clock::time_point came;
  std::vector<std::string> row;  // that the statement gave back
};

// What clients saw from one moment on.
struct Outage {
  double gap = 0;  // seconds: the longest time in which no commit was acknowledged
  uint64_t commits = 0;
  uint64_t errors = 0;                      // statements and logins that failed
  std::map<std::string, uint64_t> reasons;  // of these, by the server's or the network's words
};

class Writers {
 public:
  // Each commits by itself; a writer never says the same number twice, also if it does not know what became of it.
  using Statement = std::function<std::string(int writer, uint64_t number)>;

  Writers(pgclient::ConnInfo through, int count, Statement statement);
  ~Writers();  // stops
  Writers(const Writers&) = delete;
  Writers& operator=(const Writers&) = delete;

  void start();
  void stop();  // waits for the last answers

  uint64_t commits() const;
  // Commits that came after `since`.
  uint64_t commits_since(Deadline::Clock::time_point since) const;
  // Until the last acknowledgement; with none after `since` until now.
  Outage outage(Deadline::Clock::time_point since) const;
  std::vector<Ack> acks() const;

 private:
  void write(int writer);
  void note_error(const Error& error);

  const pgclient::ConnInfo through_;
  const int count_;
  const Statement statement_;
  mutable std::mutex mutex_;
  std::vector<Ack> acks_;
  std::vector<std::pair<Deadline::Clock::time_point, std::string>> errors_;
  std::atomic<bool> ends_{false};
  std::vector<std::thread> threads_;
};

}  // namespace pgb::cluster
