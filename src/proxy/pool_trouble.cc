// What a pool does about nodes that refuse logins, break connections or are not what they were.
#include "base/log.h"
#include "proxy/pool.h"

namespace pgb::proxy {
namespace {

namespace sqlstate = pgwire::sqlstate;
constexpr int64_t kRetry = 100'000'000;      // ns between two attempts to connect to a node that failed
constexpr int64_t kWarm = 5'000'000'000;     // ns between two such attempts that nobody waits for
constexpr int64_t kEjected = 1'000'000'000;  // ns in which a replica that takes no logins gets no reads

}  // namespace

// So they say from version 14 on.
bool Pool::is_standby(const Server& server) {
  const auto said = server.reported().find("in_hot_standby");
  return said != server.reported().end() && said->second == "on";
}

// What was the primary has come back as a replica: who waits here shall not write there.
void Pool::refuse_standby(Branch& branch, Server& server) {
  last_failure_ = branch.node.name + ": it is a replica now";
  branch.retry_at = context_.now_ns() + kRetry;
  context_.shared.settings.bell->ring(context_.now_ns());
  discard(server);
}

void Pool::server_failed(Server& server, const std::string& why, const pgwire::ErrorResponse* error) {
  Branch& from = branch(server.node());
  --from.connecting;
  from.quota->give_back();
  last_failure_ = server.node().name + ": " + why;
  context_.bury(take_out(server));
  const bool comes_back = error == nullptr || error->sqlstate == sqlstate::kCannotConnectNow ||
                          error->sqlstate == sqlstate::kAdminShutdown || error->sqlstate == sqlstate::kCrashShutdown ||
                          error->sqlstate == sqlstate::kTooManyConnections;
  from.retry_at = context_.now_ns() + kRetry;
  from.warm_at = context_.now_ns() + kWarm;
  if (comes_back) return eject(from, why);
  if (error->sqlstate == sqlstate::kInvalidPassword) {
    context_.shared.auth.forget(user_);
    context_.shared.auth.forget_keys(user_);
  }
  refuse_all(from, why, error);
}

// It may answer probes and yet take no logins: reads go elsewhere for a while, also those that wait here already.
void Pool::eject(Branch& branch, const std::string& why) {
  context_.shared.settings.bell->ring(context_.now_ns());
  if (branch.node.gauge->eject(context_.now_ns() + kEjected) && branch.node.role == NodeRole::kReplica) {
    log::warn("node " + branch.node.name + " gets no reads for now: " + why);
  }
  if (branch.node.role != NodeRole::kReplica) return;
  const KeptQueue<Waiter> waiting = std::exchange(branch.waiting, {});
  note_waiting(branch);
  for (const auto& [client, since] : waiting) client->node_changed();
}

void Pool::refuse_all(Branch& branch, const std::string& why, const pgwire::ErrorResponse* error) {
  const KeptQueue<Waiter> waiting = std::exchange(branch.waiting, {});
  note_waiting(branch);
  for (const auto& [client, since] : waiting) client->server_refused(why, error);
}

// Another connection to its node broke, and no probe has been answered since; or it has rested for so long that the
// network may have forgotten it.
bool Pool::is_doubtful(const Server& server) const {
  if (server.node().gauge->ejected_until_ns.load(std::memory_order_relaxed) != 0) return true;
  const auto after = context_.pool_settings.server_check_after;
  return after.count() > 0 && context_.loop.now() - server.idle_since >= after;
}

}  // namespace pgb::proxy
