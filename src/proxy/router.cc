#include "proxy/router.h"

#include <algorithm>
#include <array>
#include <utility>

#include "proxy/catalog_directory.h"
#include "proxy/read_eligibility.h"

namespace pgb::proxy {
namespace {

constexpr size_t kMaxCandidates = 64;

constexpr double kSlowStart = 10e9;  // ns in which the share of a node that is back grows to the whole
constexpr double kFirstShare = 0.1;
constexpr int64_t kDemand = 1'000'000'000;  // ns: who wanted to read from a replica will want it again for so long

constexpr double kQuick = 1000;  // µs: below it, answer times differ by chance
constexpr double kSlower = 3;    // times as long: less may be chance, and the lot shall spread reads by their share

// What is under way against the node's weight.
double load(const NodeView& node) { return 1.0 + node.gauge->busy.load(std::memory_order_relaxed) / node.weight; }

double slowness(const NodeView& node) {
  return std::max(kQuick, static_cast<double>(node.gauge->latency_us.load(std::memory_order_relaxed)));
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
  if (!read_as_written) {
    Look look;
    look.verdict = &kOtherStrings;
    look.may_leave = look.asks_number = true;
    look.reason = kOtherStrings.reason;
    look.text = text;
    look.counted_as = reason::kOtherStrings;
    look.meaning = Meaning::kNotUnderstood;
    return look;
  }
  Database& known = of(database);
  const sql::VerdictCache::Entry& entry = known.cache.get(text, known.catalog.get());
  const sql::Decision& decision = entry.decision;
  if (decision.reason_id == 0) decision.reason_id = context_.shared.reasons.id_of(decision.reason);
  Look look{&entry.verdict,           decision.replica,
            decision.may_do_anything, decision.keeps_state,
            decision.sets_any,        decision.may_leave,
            decision.asks_number,     decision.numbers_asked,
            decision.reason,          text,
            decision.reason_id,       meaning_of(entry.verdict, decision.may_do_anything)};
  if (decision.replica && decision.refused) keep_at_primary(look, reason::kRefusedStatement);
  const bool sees_more = look.replica && entry.verdict.transaction == sql::Transaction::kBeginReadOnly &&
                         !entry.verdict.one_snapshot && context_.pool_settings.causal_reads == CausalReads::kGlobal;
  if (sees_more) keep_at_primary(look, reason::kSeesMore);
  return look;
}

void Router::keep_at_primary(Look& look, ReasonId why) const {
  look.replica = false;
  look.reason = context_.shared.reasons.text(why);
  look.counted_as = why;
}

void Router::note_refusal(std::string_view text, const std::string& database) {
  Database& known = of(database);
  known.cache.get(text, known.catalog.get()).decision.refused = true;
}

const std::vector<std::string>& Router::custom_parameters(const std::string& database) {
  static const std::vector<std::string> kNone;
  const Database& known = of(database);
  return known.catalog ? known.catalog->custom_parameters() : kNone;
}

bool Router::knows(const std::string& database) {
  const Database& known = of(database);
  return known.catalog && known.catalog->is_read();
}

void Router::set_catalog(const std::string& database, sql::CatalogPtr catalog) {
  if (!catalog) {
    last_name_ = nullptr;
    databases_.erase(database);
    return;
  }
  Database& known = of(database);
  if (catalog && catalog->is_read()) known.last_read = catalog;
  known.catalog = std::move(catalog);
}

sql::Decision Router::as_last_known(const sql::Verdict& verdict, const std::string& database) {
  return sql::decide(verdict, of(database).last_read.get());
}

void Router::note_change(const std::string& database, const std::vector<std::string>& new_code) {
  of(database).catalog = context_.shared.catalogs->stale(database, new_code);
}

uint64_t Router::random() {  // xorshift64: fair enough to choose a server with
  seed_ ^= seed_ << 13;
  seed_ ^= seed_ >> 7;
  seed_ ^= seed_ << 17;
  return seed_;
}

bool Router::usable(const NodeView& node, int64_t since_ns, bool has_primary) const {
  const PoolSettings& settings = context_.pool_settings;
  if (!takes_reads(node, settings, has_primary, context_.now_ns())) return false;
  return settings.causal_reads == CausalReads::kOff ||
         node.gauge->caught_up_ns.load(std::memory_order_relaxed) >= since_ns;
}

double Router::chance() { return static_cast<double>(random() >> 11) / 9007199254740992.0; }  // 2^53

// How long ago it came back, as far as that matters.
double Router::warmth(const NodeView& node) const {
  const auto back = static_cast<double>(context_.now_ns() - node.gauge->back_since_ns.load(std::memory_order_relaxed));
  return std::clamp(back, 1.0, kSlowStart);
}

void Router::note_demand() {
  std::atomic<int64_t>& last = context_.shared.counters.last_read_ns;
  if (context_.now_ns() - last.load(std::memory_order_relaxed) > kDemand / 10) {
    last.store(context_.now_ns(), std::memory_order_relaxed);
  }
}

// The cheaper one of two that are drawn by lot: nearly as good as the cheapest of all, and no herd runs there.
const NodeView* Router::choose_replica(int64_t since_ns) {
  note_demand();
  std::array<const NodeView*, kMaxCandidates> candidates;
  size_t count = 0, warm = 0;
  const bool has_primary = context_.topology->primary() != nullptr;
  for (const NodeView& node : context_.topology->nodes) {
    if (count < kMaxCandidates && usable(node, since_ns, has_primary)) candidates[count++] = &node;
  }
  if (count == 0 && since_ns > context_.shared.settings.bell->rung_ns()) context_.shared.settings.bell->ring(since_ns);
  if (count <= 1) return count == 0 ? nullptr : candidates[0];
  // A node that is back takes part in few of the lots at first, as its connections and its memory are cold; measured by
  // the one that has been there longest, which takes part in all.
  double warmest = 0;
  for (size_t i = 0; i < count; ++i) warmest = std::max(warmest, warmth(*candidates[i]));
  for (size_t i = 0; i < count; ++i) {
    const double share = std::max(kFirstShare, warmth(*candidates[i]) / warmest);
    if (share >= 1 || chance() < share) std::swap(candidates[i], candidates[warm++]);
  }
  count = warm;
  double sum = 0;
  for (size_t i = 0; i < count; ++i) sum += candidates[i]->weight;
  const auto draw = [&] {  // the last one where rounding leaves something over
    double at = sum * chance();
    size_t i = 0;
    while (i + 1 < count && at >= candidates[i]->weight) at -= candidates[i++]->weight;
    sum -= candidates[i]->weight;
    return std::exchange(candidates[i], candidates[--count]);
  };
  const NodeView* a = draw();
  if (count == 0) return a;
  const NodeView* b = draw();
  double times = slowness(*a) / slowness(*b);
  if (times > 1 / kSlower && times < kSlower) times = 1;
  const bool first = load(*a) * times <= load(*b);
  // What is known of the other one gets older: it is tried again some time, however slow it was once.
  std::atomic<uint32_t>& latency = (first ? b : a)->gauge->latency_us;
  const uint32_t known = latency.load(std::memory_order_relaxed);
  latency.store(known - (known + 63) / 64, std::memory_order_relaxed);
  return first ? a : b;
}

// The clock is looked at now, not when the loop's round began: a probe may have been sent since.
int64_t Router::note_write() {
  const int64_t now =
      std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch()).count();
  const PoolSettings& settings = context_.pool_settings;
  if (settings.causal_reads == CausalReads::kGlobal) {
    std::atomic<int64_t>& newest = context_.shared.counters.last_write_ns;
    for (int64_t known = newest; known < now && !newest.compare_exchange_weak(known, now);) {
    }
  }
  const auto& nodes = context_.topology->nodes;
  const bool somebody_reads =
      settings.read_write_split && settings.causal_reads != CausalReads::kOff &&
      std::any_of(nodes.begin(), nodes.end(), [](const NodeView& node) { return node.role == NodeRole::kReplica; });
  // Where nobody wants a replica nobody has to know at once what it has: the first one who does asks for it.
  const bool wanted = now - context_.shared.counters.last_read_ns.load(std::memory_order_relaxed) < kDemand;
  if (somebody_reads && wanted) context_.shared.settings.bell->ring(now);
  return now;
}

int64_t Router::must_see(int64_t own_ns) const {
  if (context_.pool_settings.causal_reads != CausalReads::kGlobal) return own_ns;
  return std::max(own_ns, context_.shared.counters.last_write_ns.load(std::memory_order_relaxed));
}

bool Router::sees_all(const NodeView& node, int64_t own_ns) const {
  if (context_.pool_settings.causal_reads != CausalReads::kGlobal) return true;
  return node.gauge->caught_up_ns.load(std::memory_order_relaxed) >= must_see(own_ns);
}

}  // namespace pgb::proxy
