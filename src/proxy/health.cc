#include "proxy/health.h"

#include <algorithm>
#include <cstdlib>

#include "base/log.h"
#include "pgclient/connection.h"

namespace pgb::proxy {
namespace {

// One answer may be late under load; a refused connection or two late ones are a failure.
constexpr int kLateAnswers = 2;
constexpr size_t kLogSamples = 6000;  // ten minutes' worth

int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

struct Answer {
  NodeRole role = NodeRole::kUnknown;
  uint64_t lsn = 0;  // written, or replayed
};

// A replica's position is what queries see there; the primary's is beyond whatever it has acknowledged.
constexpr char kQuestion[] =
    "SELECT pg_is_in_recovery() AS standby, CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() "
    "ELSE pg_current_wal_insert_lsn() END - '0/0'::pg_lsn AS lsn";

Result<Answer> ask(std::unique_ptr<pgclient::Connection>& connection, const pgclient::ConnInfo& info,
                   Deadline deadline) {
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
  return answer;
}

}  // namespace

HealthMonitor::HealthMonitor(HealthSettings settings, TopologyPtr first, OnChange on_change)
    : settings_(std::move(settings)), on_change_(std::move(on_change)), topology_(std::move(first)) {
  const size_t count = topology_->nodes.size();  // the first thread may change topology_ already
  for (size_t i = 0; i < count; ++i) threads_.emplace_back([this, i] { watch(i); });
}

HealthMonitor::~HealthMonitor() {
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
  }
  stop_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

TopologyPtr HealthMonitor::topology() const {
  const std::lock_guard lock(mutex_);
  return topology_;
}

bool HealthMonitor::pause() {
  std::unique_lock lock(mutex_);
  return !stop_.wait_for(lock, settings_.interval, [this] { return stopped_; });
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
  do {
    const net::TlsToServer tls = settings_.tls->get().to_servers;
    if (tls.context != info.tls.context) connection.reset();  // what was true of the old certificates must show anew
    info.tls = tls;
    const bool reused = connection != nullptr;
    int64_t asked = now_ns();
    auto answer = ask(connection, info, Deadline::after(settings_.deadline));
    // A connection that broke may only be stale (a restarted server): one fresh look before judging.
    if (!answer && reused && answer.error().code != Code::kTimeout) {
      asked = now_ns();
      answer = ask(connection, info, Deadline::after(settings_.deadline));
    }
    late = !answer && answer.error().code == Code::kTimeout ? late + 1 : 0;
    if (answer) {
      note_log(node, answer->role, asked, answer->lsn);
      // A node that was slow once gets another chance: what is not measured anew is forgotten by and by.
      const uint32_t latency = node.gauge->latency_us.load(std::memory_order_relaxed);
      node.gauge->latency_us.store(latency - latency / 32, std::memory_order_relaxed);
      report(index, answer->role, true, "");
    } else if (late == 0 || late >= kLateAnswers) {
      report(index, NodeRole::kUnknown, false, answer.error().message);
    }
  } while (pause());
}

// A replica has caught up with the newest moment at which the primary's log was no longer than what it has replayed.
void HealthMonitor::note_log(const NodeView& node, NodeRole role, int64_t asked_ns, uint64_t lsn) {
  const std::lock_guard lock(log_mutex_);
  if (role == NodeRole::kPrimary) {
    // A log that goes back is another primary's: what was known says nothing about it.
    if (!primary_log_.empty() && lsn < primary_log_.back().second) primary_log_.clear();
    if (!primary_log_.empty() && asked_ns <= primary_log_.back().first) return;
    primary_log_.emplace_back(asked_ns, lsn);
    if (primary_log_.size() > kLogSamples) primary_log_.pop_front();
    node.gauge->caught_up_ns = asked_ns;
    node.gauge->behind_bytes = 0;
    return;
  }
  const auto later = std::upper_bound(primary_log_.begin(), primary_log_.end(), lsn,
                                      [](uint64_t replayed, const auto& sample) { return replayed < sample.second; });
  if (later != primary_log_.begin()) node.gauge->caught_up_ns = std::prev(later)->first;
  if (!primary_log_.empty()) {
    const uint64_t newest = primary_log_.back().second;
    node.gauge->behind_bytes = newest > lsn ? newest - lsn : 0;
  }
}

void HealthMonitor::report(size_t index, NodeRole role, bool healthy, const std::string& error) {
  const std::lock_guard order(order_);
  TopologyPtr changed;
  {
    const std::lock_guard lock(mutex_);
    NodeView node = topology_->nodes[index];
    if (role != NodeRole::kUnknown) node.role = role;
    node.healthy = healthy;
    node.last_error = error;
    if (node == topology_->nodes[index] || stopped_) return;
    auto next = std::make_shared<TopologySnapshot>(*topology_);
    next->nodes[index] = node;
    ++next->version;
    topology_ = changed = std::move(next);
  }
  const NodeView& node = changed->nodes[index];
  log::info("node " + node.name + " (" + node.address() + ", " + to_string(node.role) + ") is " +
            (healthy ? "healthy" : "not healthy: " + error));
  on_change_(changed);
}

}  // namespace pgb::proxy
