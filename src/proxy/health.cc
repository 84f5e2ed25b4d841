#include "proxy/health.h"

#include "base/log.h"
#include "pgclient/connection.h"

namespace pgb::proxy {
namespace {

// One answer may be late under load; a refused connection or two late ones are a failure.
constexpr int kLateAnswers = 2;

Result<NodeRole> ask(std::unique_ptr<pgclient::Connection>& connection, const pgclient::ConnInfo& info,
                     Deadline deadline) {
  if (!connection) {
    auto opened = pgclient::Connection::open(info, deadline);
    if (!opened) return std::move(opened).error();
    connection = std::move(*opened);
  }
  auto results = connection->query("SELECT pg_is_in_recovery() AS standby", deadline);
  if (!results) {
    connection.reset();
    return std::move(results).error();
  }
  const std::string standby = results->empty() ? "" : (*results)[0].get(0, "standby");
  if (standby == "f") return NodeRole::kPrimary;
  if (standby == "t") return NodeRole::kReplica;
  return Error(Code::kProtocol, "no answer to pg_is_in_recovery()");
}

}  // namespace

HealthMonitor::HealthMonitor(HealthSettings settings, TopologyPtr first, OnChange on_change)
    : settings_(std::move(settings)), on_change_(std::move(on_change)), topology_(std::move(first)) {
  for (size_t i = 0; i < topology_->nodes.size(); ++i) threads_.emplace_back([this, i] { watch(i); });
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
  std::unique_ptr<pgclient::Connection> connection;
  int late = 0;
  do {
    const bool reused = connection != nullptr;
    auto role = ask(connection, info, Deadline::after(settings_.deadline));
    // A connection that broke may only be stale (a restarted server): one fresh look before judging.
    if (!role && reused && role.error().code != Code::kTimeout) {
      role = ask(connection, info, Deadline::after(settings_.deadline));
    }
    late = !role && role.error().code == Code::kTimeout ? late + 1 : 0;
    if (role) {
      report(index, *role, true, "");
    } else if (late == 0 || late >= kLateAnswers) {
      report(index, NodeRole::kUnknown, false, role.error().message);
    }
  } while (pause());
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
