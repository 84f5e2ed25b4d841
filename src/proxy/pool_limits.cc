// How many servers a pool has: never more than its limit, and no fewer than its least number.
#include <algorithm>

#include "proxy/pool.h"
#include "proxy/read_eligibility.h"

namespace pgb::proxy {

void Pool::on_settings() {
  limits_ = context_.pool_settings.of(database_, user_);
  for (const auto& branch : branches_) discard_some(*branch);
}

// With the reserve for who waits since then (ns) for too long.
unsigned Pool::limit_of(const Branch& branch, int64_t waiting_since) const {
  const int64_t patience = std::chrono::nanoseconds(context_.pool_settings.reserve_after).count();
  if (limits_.reserve_pool_size == 0 || patience <= 0) return limits_.pool_size;
  const int64_t moment = context_.now_ns() - patience;
  const bool too_long = waiting_since <= moment || branch.quota->waits_since(moment);
  return limits_.pool_size + (too_long ? limits_.reserve_pool_size : 0);
}

// A reload may have made the limit smaller, and the reserve is for those who wait.
bool Pool::is_one_too_many(const Branch& branch) const {
  const unsigned servers = branch.quota->servers;
  return servers > limits_.pool_size && servers > limit_of(branch, INT64_MAX);
}

// Of those that rest.
void Pool::discard_some(Branch& branch) {
  const PoolSettings& settings = context_.pool_settings;
  const auto now = context_.loop.now();
  while (!branch.idle.empty() && is_one_too_many(branch)) discard(*branch.idle.front());
  // The one that has rested longest is the first.
  while (settings.server_idle_timeout.count() > 0 && !branch.idle.empty() &&
         branch.quota->servers > limits_.min_pool_size &&
         now - branch.idle.front()->idle_since >= settings.server_idle_timeout) {
    discard(*branch.idle.front());
  }
  // One at a time: all of them may have been opened at once.
  const auto old = std::find_if(branch.idle.begin(), branch.idle.end(), [&](const Server* server) {
    return settings.server_lifetime.count() > 0 && now - server->made >= settings.server_lifetime;
  });
  if (old != branch.idle.end()) discard(**old);
}

// As many as there shall be at least, at each node that this pool's clients may be sent to.
void Pool::keep_warm() {
  if (limits_.min_pool_size == 0 || context_.orders->pauses(database_) || context_.orders->finishing) return;
  const int64_t now = context_.now_ns();
  for (const NodeView& node : context_.topology->nodes) {
    if (!is_to_be_warm(node)) continue;
    Branch& to = branch(node);
    if (now < to.retry_at || now < to.warm_at) continue;
    while (to.quota->take(std::min(limits_.min_pool_size, limits_.pool_size))) open(to);
  }
}

bool Pool::is_to_be_warm(const NodeView& node) const {
  if (!node.healthy || node.gauge->drained.load(std::memory_order_relaxed)) return false;
  const PoolSettings& settings = context_.pool_settings;
  if (node.role == NodeRole::kPrimary) return true;
  return settings.read_write_split && limits_.mode != PoolMode::kSession &&
         takes_reads(node, settings, context_.topology->primary() != nullptr, context_.now_ns());
}

// Servers of a database and user that the configuration names are there before the first client: where it gives the
// password, too.
void Pools::keep_configured() {
  if (context_.index != 0) return;
  for (const PoolRule& rule : context_.pool_settings.rules) {
    if (rule.database.empty() || rule.user.empty() || rule.min_pool_size.value_or(0) == 0) continue;
    pgwire::Credentials known = context_.shared.auth.configured(rule.user);
    if (known.empty()) continue;
    Pool& pool = of(rule.user, rule.database);
    pool.set_credentials(std::move(known));
    pool.keep_warm();
  }
}

}  // namespace pgb::proxy
