#include "proxy/router.h"

#include <array>
#include <bit>

#include "proxy/catalog_directory.h"

namespace pgb::proxy {
namespace {

constexpr size_t kMaxCandidates = 64;

// What one more query would cost there: what is under way, as long as answers take, against the node's share. Answer
// times count by powers of two: two nodes that are about as fast are equal, and the lot spreads reads over them.
double cost(const NodeView& node) {
  const uint32_t latency = node.gauge->latency_us.load(std::memory_order_relaxed);
  const auto slowness = static_cast<double>(uint64_t{1} << std::bit_width(latency / 256));
  return (1.0 + node.gauge->busy.load(std::memory_order_relaxed)) * slowness / node.weight;
}

}  // namespace

Router::Database& Router::of(const std::string& database) {
  if (last_name_ != nullptr && (last_name_ == &database || *last_name_ == database)) return *last_;
  auto found = databases_.find(database);
  if (found == databases_.end()) {
    found = databases_.emplace(database, std::make_unique<Database>()).first;
    context_.shared.catalogs->want(database);
  }
  last_name_ = &found->first;
  return *(last_ = found->second.get());
}

Look Router::look(std::string_view text, const std::string& database, bool read_as_written) {
  static const sql::Verdict kOtherStrings = [] {
    sql::Verdict verdict;
    verdict.reason = kOtherStringsText;
    verdict.effects.push_back({});
    return verdict;
  }();
  if (!read_as_written) return {&kOtherStrings, false, false, false, kOtherStrings.reason, reason::kOtherStrings};
  Database& known = of(database);
  const sql::VerdictCache::Entry& entry = known.cache.get(text, known.catalog.get());
  ReasonId& id = entry.decision.reason_id;
  if (id == 0) id = context_.shared.reasons.id_of(entry.decision.reason);
  return {&entry.verdict,
          entry.decision.replica,
          entry.decision.may_do_anything,
          entry.decision.keeps_state,
          entry.decision.reason,
          id};
}

void Router::set_catalog(const std::string& database, sql::CatalogPtr catalog) {
  of(database).catalog = std::move(catalog);
}

void Router::note_change(const std::string& database) {
  of(database).catalog.reset();
  context_.shared.catalogs->stale(database);
}

uint64_t Router::random() {  // xorshift64: fair enough to choose a server with
  seed_ ^= seed_ << 13;
  seed_ ^= seed_ >> 7;
  seed_ ^= seed_ << 17;
  return seed_;
}

bool Router::usable(const NodeView& node, int64_t since_ns, bool has_primary) const {
  if (node.role != NodeRole::kReplica || !node.healthy || node.weight <= 0) return false;
  if (node.gauge->drained.load(std::memory_order_relaxed)) return false;
  const int64_t now = context_.now_ns();
  if (node.gauge->ejected_until_ns.load(std::memory_order_relaxed) > now) return false;
  const PoolSettings& settings = context_.pool_settings;
  const int64_t caught_up = node.gauge->caught_up_ns.load(std::memory_order_relaxed);
  if (settings.causal_reads != CausalReads::kOff && caught_up < since_ns) return false;
  if (!has_primary) return true;  // nobody can say how far behind it is, and it is all there is
  const int64_t lag = std::chrono::nanoseconds(settings.max_replica_lag).count();
  if (lag > 0 && now - caught_up > lag) return false;
  return settings.max_replica_lag_bytes == 0 || node.gauge->behind_bytes <= settings.max_replica_lag_bytes;
}

// The cheaper one of two that are drawn by lot: nearly as good as the cheapest of all, and no herd runs there.
const NodeView* Router::choose_replica(int64_t since_ns) {
  std::array<const NodeView*, kMaxCandidates> candidates;
  size_t count = 0;
  const bool has_primary = context_.topology->primary() != nullptr;
  for (const NodeView& node : context_.topology->nodes) {
    if (count < kMaxCandidates && usable(node, since_ns, has_primary)) candidates[count++] = &node;
  }
  if (count == 0) return nullptr;
  if (count == 1) return candidates[0];
  const size_t a = random() % count;
  size_t b = random() % (count - 1);
  if (b >= a) ++b;
  const bool first = cost(*candidates[a]) <= cost(*candidates[b]);
  // What is known of the other one gets older: it is tried again some time, however slow it was once.
  std::atomic<uint32_t>& latency = candidates[first ? b : a]->gauge->latency_us;
  const uint32_t known = latency.load(std::memory_order_relaxed);
  latency.store(known - (known + 63) / 64, std::memory_order_relaxed);
  return candidates[first ? a : b];
}

}  // namespace pgb::proxy
