#include "agent/server_watch.h"

#include <poll.h>

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "agent/wal_files.h"
#include "base/strings.h"

namespace pgb::agent {

using pgclient::Connection;
using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

namespace {

constexpr milliseconds kPatience{1000};
constexpr milliseconds kSlow{500};  // a pace at which nobody waits for an answer
constexpr milliseconds kGreetEvery{2000};
constexpr milliseconds kBeatEvery{1500};
constexpr milliseconds kWritePatience{2500};

// Columns are evaluated in their order, so that a walreceiver may confirm a commit and end between two of them: whether
// one runs, and whether all WAL on disk is read, is found out before the position, which then lacks nothing of it. The
// startup process waits for WAL only after it has read all that is on disk.
const char kFactsSql[] = R"(
WITH before AS MATERIALIZED (
  SELECT EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'walreceiver') AS receiver,
         pg_last_wal_receive_lsn() IS NOT NULL OR EXISTS (
             SELECT FROM pg_stat_activity WHERE backend_type = 'startup'
                AND wait_event IN ('RecoveryWalStream', 'RecoveryRetrieveRetryInterval')) AS end_known)
SELECT before.receiver, before.end_known,
       pg_is_in_recovery() AS standby,
       (SELECT system_identifier FROM pg_control_system()) AS system_id,
       pg_size_bytes(current_setting('wal_segment_size')) AS segment_size,
       CASE WHEN pg_is_in_recovery() THEN COALESCE((SELECT received_tli FROM pg_stat_wal_receiver), 0)::text
            ELSE ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::bigint::text END AS timeline,
       CASE WHEN pg_is_in_recovery() THEN GREATEST(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())
            ELSE pg_current_wal_flush_lsn() END AS flushed,
       pg_last_wal_replay_lsn() AS replayed,
       COALESCE((SELECT status FROM pg_stat_wal_receiver), '') AS receiver_status,
       current_setting('synchronous_standby_names') AS sync_names
  FROM before
)";
const char kSendersSql[] =
    "SELECT application_name AS name, state, flush_lsn AS flushed, pid FROM pg_stat_replication WHERE state <> "
    "'backup'";

bool same(const std::optional<ServerFacts>& before, ServerFacts now) {
  if (before) now.asked = before->asked;
  return before == now;
}

uint64_t number(const std::string& text) { return std::strtoull(text.c_str(), nullptr, 10); }

}  // namespace

Result<ServerFacts> ask_server(Connection& connection, Deadline deadline) {
  ServerFacts facts;
  facts.asked = Clock::now();
  auto answer = connection.query(std::string(kFactsSql) + ";" + kSendersSql, deadline);
  if (!answer.ok()) return std::move(answer).error();
  if (answer->size() != 2 || answer->at(0).rows.empty()) {
    return Error(Code::kProtocol, "the server's answer is not whole");
  }
  const pgclient::ResultSet& row = answer->at(0);
  facts.in_recovery = row.get(0, "standby") == "t";
  facts.system_id = row.get(0, "system_id");
  facts.segment_size = number(row.get(0, "segment_size"));
  facts.timeline = static_cast<ha::Timeline>(number(row.get(0, "timeline")));
  facts.flushed = parse_lsn(row.get(0, "flushed")).value_or(0);
  facts.replayed = parse_lsn(row.get(0, "replayed")).value_or(0);
  facts.end_known = row.get(0, "end_known") == "t";
  facts.receiver = row.get(0, "receiver") == "t";
  facts.streaming = row.get(0, "receiver_status") == "streaming";
  facts.sync_names = row.get(0, "sync_names");
  const pgclient::ResultSet& senders = answer->at(1);
  for (size_t i = 0; i < senders.rows.size(); ++i) {
    ServerFacts::Sender& sender = facts.senders[senders.get(i, "name")];
    const bool streaming = senders.get(i, "state") == "streaming";
    if (sender.streaming && !streaming) continue;  // an older connection of the same standby, on its way out
    sender = {streaming, parse_lsn(senders.get(i, "flushed")).value_or(0),
              static_cast<int>(number(senders.get(i, "pid")))};
  }
  return facts;
}

Status write_once(Connection& connection, Deadline deadline) {
  auto done = connection.query(
      "BEGIN; SET LOCAL synchronous_commit = local; SELECT pg_logical_emit_message(true, 'pgbalancer', ''); COMMIT",
      deadline);
  return done.ok() ? Status() : Status(std::move(done).error());
}

ServerWatch::ServerWatch(std::function<pgclient::ConnInfo()> whom, std::function<void()> on_news)
    : whom_(std::move(whom)), on_news_(std::move(on_news)) {
  thread_ = std::thread([this] { work(); });
  greeter_ = std::thread([this] { greet(); });
  beater_ = std::thread([this] { beat(); });
}

ServerWatch::~ServerWatch() {
  {
    const std::lock_guard lock(mutex_);
    ends_ = true;
  }
  wake_all();
  for (std::thread* thread : {&thread_, &greeter_, &beater_}) thread->join();
}

void ServerWatch::set_running(bool running, std::optional<ServerFacts> known) {
  const std::lock_guard lock(mutex_);
  running_ = running;
  ++turn_;
  state_ = State();
  if (known) state_.answered = known->asked, state_.facts = std::move(known);
  wake_all();
}

void ServerWatch::set_pace(milliseconds pace) {
  const std::lock_guard lock(mutex_);
  if (pace < pace_) now_ = true, wake_all();
  pace_ = pace;
}

void ServerWatch::ask_now() {
  const std::lock_guard lock(mutex_);
  now_ = true;
  wake_all();
}

void ServerWatch::wake_all() {
  changed_.notify_all();
  wake_.ring();
}

// A server that ends its processes, because one of them crashed, closes the connection.
void ServerWatch::await(const Connection* connection, milliseconds pause) {
  pollfd ready[] = {{wake_.fd(), POLLIN, 0}, {connection != nullptr ? connection->fd() : -1, POLLIN | POLLRDHUP, 0}};
  poll(ready, 2, static_cast<int>(pause.count()));
  wake_.clear();
}

ServerWatch::State ServerWatch::state() const {
  const std::lock_guard lock(mutex_);
  return state_;
}

void ServerWatch::work() {
  std::unique_ptr<Connection> connection;
  uint64_t connected_turn = 0;
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return ends_ || running_; });
    if (ends_) return;
    const uint64_t turn = turn_;
    const bool asked_for = std::exchange(now_, false) || pace_ < kSlow;
    lock.unlock();
    if (turn != connected_turn) connection.reset();
    std::string error;
    std::optional<ServerFacts> facts;
    if (connection == nullptr) {
      auto opened = Connection::open(whom_(), Deadline::after(kPatience));
      if (opened.ok()) connection = std::move(*opened), connected_turn = turn;
      if (!opened.ok()) error = opened.error().message;
    }
    if (connection != nullptr) {
      auto answer = ask_server(*connection, Deadline::after(kPatience));
      if (answer.ok()) facts = std::move(*answer);
      if (!answer.ok()) error = answer.error().message, connection.reset();
    }
    lock.lock();
    if (turn == turn_) {
      const bool news = asked_for || state_.error != error || (facts && !same(state_.facts, *facts));
      state_.error = error;
      if (facts) state_.answered = facts->asked, state_.facts = std::move(facts);
      if (connection != nullptr && state_.welcomed == ha::Time{}) state_.welcomed = Clock::now();
      lock.unlock();
      if (news) on_news_();
      lock.lock();
    }
    const milliseconds pause = error.empty() ? pace_ : std::min(pace_, milliseconds(50));
    if (ends_ || now_ || turn_ != turn) continue;
    lock.unlock();
    await(connection.get(), pause);
    lock.lock();
  }
}

// A server that has no room for one more session, or none for us, is alive.
static bool is_answer(const Error& error) { return error.code == Code::kSql || error.code == Code::kAuth; }

// A stopped postmaster lets old connections go on and takes no new one.
void ServerWatch::greet() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait_for(lock, kGreetEvery, [this] { return ends_; });
    if (ends_) return;
    if (!running_ || state_.welcomed == ha::Time{}) continue;
    const uint64_t turn = turn_;
    lock.unlock();
    const ha::Time began = Clock::now();
    const auto opened = Connection::open(whom_(), Deadline::after(kPatience));
    const bool welcome = opened.ok() || is_answer(opened.error());
    lock.lock();
    if (welcome && turn == turn_) state_.welcomed = began;
  }
}

// A disk that hangs or is full lets a primary answer and write nothing. Where WAL reaches the disk anyway nothing is
// written for this.
void ServerWatch::beat() {
  std::unique_ptr<Connection> connection;
  uint64_t connected_turn = 0;
  ha::Lsn flushed = 0;
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait_for(lock, kBeatEvery, [this] { return ends_; });
    if (ends_) return;
    if (!running_ || !state_.facts || state_.facts->in_recovery) {
      connection.reset();
      continue;
    }
    if (std::exchange(flushed, state_.facts->flushed) != state_.facts->flushed) {
      state_.wrote = state_.facts->asked;
      continue;
    }
    const uint64_t turn = turn_;
    lock.unlock();
    const ha::Time began = Clock::now();
    if (turn != connected_turn) connection.reset();
    bool refused = false;  // which says nothing of its disk
    if (connection == nullptr) {
      auto opened = Connection::open(whom_(), Deadline::after(kPatience));
      if (opened.ok()) connection = std::move(*opened), connected_turn = turn;
      refused = !opened.ok() && is_answer(opened.error());
    }
    const bool done = connection != nullptr && write_once(*connection, Deadline::after(kWritePatience)).ok();
    if (!done) connection.reset();
    lock.lock();
    if ((done || refused) && turn == turn_) state_.wrote = began;
  }
}

}  // namespace pgb::agent
