#include "proxy/health.h"

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "base/log.h"
#include "pgclient/connection.h"

namespace pgb::proxy {
namespace {

// One answer may be late under load; a refused connection or two late ones are a failure.
constexpr int kLateAnswers = 2;
constexpr size_t kLogSamples = 6000;  // ten minutes' worth, less where much is written
// A server that took longer than that to say how it is has better things to do than to tell the rest; and while it
// tells, it is not asked how it is.
constexpr int64_t kQuick_ns = 50'000'000;
constexpr std::chrono::milliseconds kMostForBasics{300};
constexpr char kTooManyConnections[] = "53300";
constexpr int kRest = 2;  // a node rests that many times as long as a probe takes, up to the interval

int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

// A replica's position is what queries see there; the primary's is beyond whatever it has acknowledged. What was rolled
// back is not flushed until something else is, and replicas get only what is flushed. But an asynchronous commit is
// flushed within three times wal_writer_delay (PostgreSQL, 30.4 "Asynchronous Commit"); five times and a second are
// left for a machine that is late. From which timeline a replica gets its log only a member of pg_read_all_stats is
// told, and only while it does.
constexpr char kQuestion[] =
    "SELECT pg_is_in_recovery() AS standby, CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() "
    "ELSE pg_current_wal_insert_lsn() END - '0/0'::pg_lsn AS lsn, CASE WHEN pg_is_in_recovery() THEN 0 "
    "ELSE pg_current_wal_flush_lsn() - '0/0'::pg_lsn END AS flushed, CASE WHEN pg_is_in_recovery() THEN NULL "
    "ELSE left(pg_walfile_name(pg_current_wal_insert_lsn()), 8) END AS timeline, "
    "(SELECT received_tli FROM pg_stat_get_wal_receiver()) AS received, "
    "(extract(epoch FROM current_setting('wal_writer_delay')::interval) * 5e9 + 1e9)::int8 AS settle";

// It answers, if only to say that it has no room for one more.
bool is_full(const Error& error) {
  return std::any_of(error.details.begin(), error.details.end(), [](const auto& detail) {
    return detail.first == "sqlstate" && detail.second == kTooManyConnections;
  });
}

}  // namespace

struct HealthMonitor::Answer {
  NodeRole role = NodeRole::kUnknown;
  uint64_t lsn = 0;       // written, or replayed
  uint64_t flushed = 0;   // of a primary: whatever was acknowledged settle_ns ago lies before it
  int64_t settle_ns = 0;  // of a primary
  uint32_t timeline = 0;  // a primary's
  uint32_t received = 0;  // of the log that a replica gets; 0: not known
};

Result<HealthMonitor::Answer> HealthMonitor::ask(std::unique_ptr<pgclient::Connection>& connection,
                                                 const pgclient::ConnInfo& info, Deadline deadline) {
  if (!connection) {
    auto opened = pgclient::Connection::open(info, deadline);
    if (!opened) return std::move(opened).error();
    connection = std::move(*opened);
  }
  auto results = connection->query(kQuestion, deadline);
  if (!results) {
    connection.reset();
    return std::move(results).error();
  }
  const std::string standby = results->empty() ? "" : (*results)[0].get(0, "standby");
  if (standby != "f" && standby != "t") return Error(Code::kProtocol, "no answer to pg_is_in_recovery()");
  Answer answer;
  answer.role = standby == "f" ? NodeRole::kPrimary : NodeRole::kReplica;
  answer.lsn = std::strtoull((*results)[0].get(0, "lsn").c_str(), nullptr, 10);
  answer.flushed = std::strtoull((*results)[0].get(0, "flushed").c_str(), nullptr, 10);
  answer.settle_ns = std::strtoll((*results)[0].get(0, "settle").c_str(), nullptr, 10);
  answer.timeline = static_cast<uint32_t>(std::strtoul((*results)[0].get(0, "timeline").c_str(), nullptr, 16));
  answer.received = static_cast<uint32_t>(std::strtoul((*results)[0].get(0, "received").c_str(), nullptr, 10));
  return answer;
}

HealthMonitor::HealthMonitor(HealthSettings settings, TopologyPtr first, OnChange on_change)
    : settings_(std::move(settings)), on_change_(std::move(on_change)), topology_(std::move(first)) {
  const size_t count = topology_->nodes.size();  // the first thread may change topology_ already
  replayed_.resize(count);
  noted_ns_.resize(count);
  astray_.resize(count);
  for (size_t i = 0; i < count; ++i) {
    const NodeView& node = topology_->nodes[i];
    gauges_.push_back(node.gauge);
    if (node.timeline > 0 && (!primary_ || node.timeline > topology_->nodes[*primary_].timeline)) primary_ = i;
  }
  has_primary_ = topology_->primary() != nullptr;
  for (size_t i = 0; i < count; ++i) threads_.emplace_back([this, i] { watch(i); });
}

HealthMonitor::~HealthMonitor() {
  stopped_ = true;
  settings_.bell->wake();
  for (std::thread& thread : threads_) thread.join();
}

TopologyPtr HealthMonitor::topology() const {
  const std::lock_guard lock(mutex_);
  return topology_;
}

// Until it is time for the next probe. What is written wakes it; a replica that has not got it yet is asked again soon,
// but not for longer than the usual interval.
bool HealthMonitor::pause(size_t index, int64_t asked_ns) {
  using std::chrono::nanoseconds;
  constexpr int64_t kNever = INT64_MAX;
  const auto now = ProbeBell::Clock::now();
  const nanoseconds took(now_ns() - asked_ns);
  const nanoseconds usual(has_primary_ ? settings_.interval : settings_.without_primary);
  const nanoseconds rest = std::clamp<nanoseconds>(took * kRest, settings_.shortest_interval, usual);
  ProbeBell& bell = *settings_.bell;
  bell.sleep(now + rest, kNever, stopped_);
  const int64_t rung = bell.rung_ns();
  const int64_t caught_up = gauges_[index]->caught_up_ns.load(std::memory_order_relaxed);
  const bool urgent = caught_up < rung && now_ns() - rung < usual.count();
  if (!urgent) bell.sleep(now + usual, asked_ns, stopped_);
  return !stopped_;
}

void HealthMonitor::watch(size_t index) {
  const NodeView node = topology()->nodes[index];
  pgclient::ConnInfo info;
  info.host = node.host;
  info.port = node.port;
  info.user = settings_.user;
  info.password = settings_.password;
  info.database = settings_.database;
  info.application_name = "pgbalancer health";
  info.tls_host = node.tls_host;
  std::unique_ptr<pgclient::Connection> connection;
  int late = 0;
  bool dropped = false;  // by ourselves, of a server that answered: the next connection says nothing about it
  int64_t last_asked = 0, basics_asked = 0;
  do {
    const net::TlsToServer tls = settings_.tls->get().to_servers;
    if (tls.context != info.tls.context) connection.reset();  // what was true of the old certificates must show anew
    info.tls = tls;
    const bool reused = connection != nullptr;
    bool restarted = false;
    int64_t asked = now_ns();
    auto answer = ask(connection, info, Deadline::after(settings_.deadline));
    // A connection that broke may only be stale (a restarted server): one fresh look before judging.
    if (!answer && reused && answer.error().code != Code::kTimeout) {
      asked = now_ns();
      answer = ask(connection, info, Deadline::after(settings_.deadline));
      restarted = true;
    }
    node.gauge->probes.note(answer.ok(), asked, now_ns());
    late = !answer && answer.error().code == Code::kTimeout ? late + 1 : 0;
    const std::string refused = answer ? judge(index, *answer) : "";
    const bool full = dropped && !answer && is_full(answer.error());  // with our place, which somebody else has taken
    if (dropped && answer) forget_log(index);                         // it may have been restarted meanwhile
    if (!full && late != 1) dropped = false;                          // one late answer says nothing yet
    if (answer && !refused.empty()) {
      forget_log(index);
      report(index, *answer, false, refused);
    } else if (answer) {
      if (restarted) forget_log(index);
      if (restarted) node.gauge->back_since_ns = now_ns();
      note_log(index, asked, *answer);
      if (answer->role == NodeRole::kPrimary) note_flushed(asked - answer->settle_ns, answer->flushed);
      if (node.gauge->readmit(asked)) log::debug("node " + node.name + " may be read from again");
      // A node that was slow once gets another chance: what is not measured anew is forgotten by and by.
      const uint32_t latency = node.gauge->latency_us.load(std::memory_order_relaxed);
      node.gauge->latency_us.store(latency - latency / 32, std::memory_order_relaxed);
      report(index, *answer, true, "");
      const int64_t now = now_ns();
      if (has_primary_ && connection &&
          now - basics_asked >= std::chrono::nanoseconds(settings_.basics_interval).count()) {
        basics_asked = now;
        dropped = !ask_more(node, *connection, now - asked);
        if (dropped) connection.reset();
      }
    } else if (full) {
      log::debug("node " + node.name + " has no connection left to ask it how it is");
    } else if (late == 0 || late >= kLateAnswers) {
      forget_log(index);
      report(index, Answer(), false, answer.error().message);
    }
    last_asked = asked;
  } while (pause(index, last_asked));
}

// False: the connection is of no use any more. What is not answered says nothing of the server's health.
bool HealthMonitor::ask_more(const NodeView& node, pgclient::Connection& connection, int64_t took_ns) const {
  if (took_ns > kQuick_ns) return true;
  auto basics = ask_basics(connection, Deadline::after(kMostForBasics));
  if (!basics) return basics.error().code == Code::kSql;
  node.gauge->basics.put(std::move(*basics));
  return true;
}

void HealthMonitor::note_log(size_t index, int64_t asked_ns, const Answer& answer) {
  const std::lock_guard lock(log_mutex_);
  if (answer.role == NodeRole::kReplica) {
    const bool of_before = answer.received != 0 && answer.received < log_timeline_;
    if (answer.received >= log_timeline_ && log_timeline_ != 0) astray_[index] = false;
    replayed_[index] = of_before || astray_[index] ? 0 : answer.lsn;
    noted_ns_[index] = now_ns();
    return note_catch_up(index);
  }
  replayed_[index] = 0;
  look_for_astray(asked_ns, answer.lsn);
  if (std::exchange(log_timeline_, std::max(log_timeline_, answer.timeline)) < answer.timeline) {  // promoted
    std::fill(replayed_.begin(), replayed_.end(), 0);  // positions mean something else from here on
    primary_log_.clear();
  }
  note_primary(index, asked_ns, answer.lsn);
  gauges_[index]->caught_up_ns = asked_ns;
  gauges_[index]->behind_bytes = 0;
}

// Who had replayed more, before the primary was asked, than that has written, has something that it has not: however
// far that writes, such a replica has not caught up before it was made anew.
void HealthMonitor::look_for_astray(int64_t asked_ns, uint64_t written) {
  for (size_t i = 0; i < replayed_.size(); ++i) {
    if (noted_ns_[i] < asked_ns && replayed_[i] > written) astray_[i] = true;
    if (astray_[i]) replayed_[i] = 0;
  }
}

void HealthMonitor::note_primary(size_t index, int64_t asked_ns, uint64_t lsn) {
  // Another primary's log, or one that goes back: what was known says nothing about it.
  const bool other = std::exchange(log_of_, index) != index;
  if (other || (!primary_log_.empty() && lsn < primary_log_.back().second)) primary_log_.clear();
  if (!primary_log_.empty() && asked_ns <= primary_log_.back().first) return;
  // Where nothing was written in between, the earlier sample says nothing that this one does not say.
  if (!primary_log_.empty() && primary_log_.back().second == lsn) {
    primary_log_.back().first = asked_ns;
  } else {
    primary_log_.emplace_back(asked_ns, lsn);
  }
  if (primary_log_.size() > kLogSamples) primary_log_.pop_front();
  for (size_t i = 0; i < replayed_.size(); ++i) note_catch_up(i);  // they may have answered first
}

// What was acknowledged by then lies before `flushed`, however far the log went on with what is of no account.
void HealthMonitor::note_flushed(int64_t by_ns, uint64_t flushed) {
  const std::lock_guard lock(log_mutex_);
  const auto later = std::upper_bound(primary_log_.begin(), primary_log_.end(), by_ns,
                                      [](int64_t time, const auto& sample) { return time < sample.first; });
  if (later == primary_log_.end() || later->second <= flushed) return;
  for (auto sample = primary_log_.begin(); sample != later; ++sample)
    sample->second = std::min(sample->second, flushed);
  if (later != primary_log_.begin() && std::prev(later)->second == flushed) {
    std::prev(later)->first = by_ns;
  } else {
    primary_log_.emplace(later, by_ns, flushed);
  }
  for (size_t i = 0; i < replayed_.size(); ++i) note_catch_up(i);
}

// A replica has caught up with the newest moment at which the primary's log was no longer than what it has replayed.
void HealthMonitor::note_catch_up(size_t index) {
  const uint64_t replayed = replayed_[index];
  if (replayed == 0 || primary_log_.empty()) return;
  const auto later = std::upper_bound(primary_log_.begin(), primary_log_.end(), replayed,
                                      [](uint64_t position, const auto& sample) { return position < sample.second; });
  if (later != primary_log_.begin()) gauges_[index]->caught_up_ns = std::prev(later)->first;
  const uint64_t newest = primary_log_.back().second;
  gauges_[index]->behind_bytes = newest > replayed ? newest - replayed : 0;
}

// It may come back with less than it had, or as something else.
void HealthMonitor::forget_log(size_t index) {
  const std::lock_guard lock(log_mutex_);
  replayed_[index] = 0;
  astray_[index] = false;
  gauges_[index]->caught_up_ns = 0;
}

// Why an answer cannot be taken for what it says: writes go to one primary, and never back to one that was followed by
// another. Empty if it can.
std::string HealthMonitor::judge(size_t index, const Answer& answer) {
  if (answer.role != NodeRole::kPrimary) return {};
  const std::lock_guard lock(mutex_);
  if (std::string why = not_the_leader(topology_->nodes[index].name); !why.empty()) return why;
  const NodeView* known = primary_ ? &topology_->nodes[*primary_] : nullptr;
  const bool newer = known == nullptr || answer.timeline > known->timeline;
  // Two that were promoted apart from each other: clients have written to the first one that was seen.
  const bool instead =
      known != nullptr && answer.timeline == known->timeline && !(known->healthy && known->role == NodeRole::kPrimary);
  if (newer || instead || *primary_ == index) {
    if (known == nullptr || answer.timeline >= known->timeline) return {};
  }
  return "it calls itself the primary of timeline " + std::to_string(answer.timeline) + ", but " + known->name +
         (*primary_ == index ? " was" : " is") + " that of timeline " + std::to_string(known->timeline);
}

// Empty if it is, or if there is none that we know.
std::string HealthMonitor::not_the_leader(const std::string& node) const {
  if (!leader_ || leader_->node == node) return {};
  if (leader_->node.empty()) {
    return "it calls itself the primary, but the lease of epoch " + std::to_string(leader_->epoch) +
           " has ended, and the lease store names no leader";
  }
  if (topology_->find(leader_->node) == nullptr) return {};
  return "it calls itself the primary, but the lease store names " + leader_->node + " as the leader of epoch " +
         std::to_string(leader_->epoch);
}

void HealthMonitor::refuse(NodeView& node, std::string why) const {
  node.healthy = false;
  node.refused = true;
  node.last_error = std::move(why);
  log::warn("node " + node.name + " (" + node.address() + ") gets no work: " + node.last_error);
}

// Others that were taken for the primary up to now.
void HealthMonitor::refuse_others(TopologySnapshot& topology) const {
  const NodeView& primary = topology.nodes[*primary_];
  for (NodeView& node : topology.nodes) {
    if (node.role != NodeRole::kPrimary || !node.healthy || node.name == primary.name) continue;
    refuse(node, "it called itself the primary of timeline " + std::to_string(node.timeline) + ", but " + primary.name +
                     " is that of timeline " + std::to_string(primary.timeline));
  }
}

void HealthMonitor::set_leader(std::optional<Leader> leader) {
  const std::lock_guard order(order_);
  TopologyPtr changed;
  {
    const std::lock_guard lock(mutex_);
    if (leader == leader_) return;
    leader_ = std::move(leader);
    const NodeView* primary = topology_->primary();
    const std::string why = primary == nullptr ? "" : not_the_leader(primary->name);
    if (!why.empty()) {
      auto next = std::make_shared<TopologySnapshot>(*topology_);
      for (NodeView& node : next->nodes) {
        if (node.name == primary->name) refuse(node, why);
      }
      ++next->version;
      has_primary_ = next->primary() != nullptr;
      topology_ = changed = std::move(next);
    }
  }
  settings_.bell->ring(now_ns());
  if (changed) on_change_(changed);
}

void HealthMonitor::report(size_t index, const Answer& answer, bool healthy, const std::string& error) {
  const std::lock_guard order(order_);
  TopologyPtr changed;
  {
    const std::lock_guard lock(mutex_);
    NodeView node = topology_->nodes[index];
    if (answer.role != NodeRole::kUnknown) node.role = answer.role;
    if (healthy && answer.timeline != 0) node.timeline = answer.timeline;
    node.healthy = healthy;
    node.refused = !healthy && answer.role == NodeRole::kPrimary;
    node.last_error = error;
    if (node == topology_->nodes[index] || stopped_) return;
    if (healthy != topology_->nodes[index].healthy) {
      node.gauge->changed_ns = now_ns();
      if (healthy) node.gauge->back_since_ns = node.gauge->changed_ns.load();
    }
    auto next = std::make_shared<TopologySnapshot>(*topology_);
    next->nodes[index] = node;
    if (healthy && node.role == NodeRole::kPrimary) {
      primary_ = index;
      refuse_others(*next);
    }
    ++next->version;
    has_primary_ = next->primary() != nullptr;
    topology_ = changed = std::move(next);
  }
  const NodeView& node = changed->nodes[index];
  log::info("node " + node.name + " (" + node.address() + ", " + to_string(node.role) + ") is " +
            (healthy ? "healthy" : "not healthy: " + error));
  on_change_(changed);
}

}  // namespace pgb::proxy
