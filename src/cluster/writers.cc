#include "cluster/writers.h"

#include <poll.h>

#include <algorithm>

namespace pgb::cluster {

using std::chrono::milliseconds;
using Clock = Deadline::Clock;

namespace {

constexpr milliseconds kAnswer{15000};  // longer than a balancer has work wait
constexpr milliseconds kLogin{5000};
constexpr int kPause = 3;        // milliseconds between two commits
constexpr int kAfterError = 20;  // and after a failure

}  // namespace

Writers::Writers(pgclient::ConnInfo through, int count, Statement statement)
    : through_(std::move(through)), count_(count), statement_(std::move(statement)) {}

Writers::~Writers() { stop(); }

void Writers::start() {
  for (int i = 0; i < count_; ++i) threads_.emplace_back([this, i] { write(i); });
}

void Writers::stop() {
  ends_ = true;
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

void Writers::note_error(const Error& error) {
  const std::lock_guard lock(mutex_);
  errors_.emplace_back(Clock::now(), error.message);
}

void Writers::write(int writer) {
  std::unique_ptr<pgclient::Connection> connection;
  for (uint64_t number = 1; !ends_; ++number) {
    if (!connection) {
      auto opened = pgclient::Connection::open(through_, Deadline::after(kLogin));
      if (!opened.ok()) {
        note_error(opened.error());
        poll(nullptr, 0, kAfterError);
        continue;
      }
      connection = std::move(*opened);
    }
    auto answer = connection->query(statement_(writer, number), Deadline::after(kAnswer));
    if (!answer.ok()) {
      note_error(answer.error());
      if (answer.error().code != Code::kSql) connection.reset();
      poll(nullptr, 0, kAfterError);
      continue;
    }
    Ack ack{writer, number, Clock::now(), {}};
    if (!answer->empty() && !answer->at(0).rows.empty()) {
      for (const auto& value : answer->at(0).rows[0]) ack.row.push_back(value.value_or(""));
    }
    {
      const std::lock_guard lock(mutex_);
      acks_.push_back(std::move(ack));
    }
    poll(nullptr, 0, kPause);
  }
}

uint64_t Writers::commits() const {
  const std::lock_guard lock(mutex_);
  return acks_.size();
}

uint64_t Writers::commits_since(Clock::time_point since) const {
  const std::lock_guard lock(mutex_);
  return static_cast<uint64_t>(
      std::count_if(acks_.begin(), acks_.end(), [&](const Ack& ack) { return ack.came > since; }));
}

Outage Writers::outage(Clock::time_point since) const {
  const std::lock_guard lock(mutex_);
  Outage outage;
  std::vector<Clock::time_point> times;
  for (const Ack& ack : acks_) {
    if (ack.came > since) times.push_back(ack.came);
  }
  outage.commits = times.size();
  if (times.empty()) times.push_back(Clock::now());
  std::sort(times.begin(), times.end());
  Clock::time_point last = since;
  for (const auto& time : times) {
    outage.gap = std::max(outage.gap, std::chrono::duration<double>(time - last).count());
    last = time;
  }
  for (const auto& [time, text] : errors_) {
    if (time < since) continue;
    ++outage.errors;
    ++outage.reasons[text];
  }
  return outage;
}

std::vector<Ack> Writers::acks() const {
  const std::lock_guard lock(mutex_);
  return acks_;
}

}  // namespace pgb::cluster
