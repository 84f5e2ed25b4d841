#include "ha/testing/world.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

namespace pgb::ha::testing {
namespace {

constexpr Ms kStep = 20;
constexpr Ms kFaultsUntil = 22'000;
constexpr Ms kEnd = 52'000;

}  // namespace

std::string to_string(Mutation mutation) {
  static const char* const kNames[kMutations] = {
      "none",         "no-quorum-check", "relax-before-record", "ignore-fence", "promise-without-detach",
      "open-at-once", "reuse-timeline",  "record-too-early",    "never-rewind", "overlap",
      "no-heirs",     "trust-old-record"};
  return kNames[static_cast<int>(mutation)];
}

World::World(const Options& options) : options_(options), random_(options.seed) {
  size_t count = static_cast<size_t>(random(2, 5));
  double mode = std::uniform_real_distribution<>(0, 1)(random_);
  settings_.durability = mode < 0.75 ? Durability::kQuorum : mode < 0.88 ? Durability::kStrict : Durability::kAsync;
  settings_.degrade_after = Duration(5000);
  settings_.min_free_disk = 1000;
  settings_.full_disk = 100;
  settings_.revive_after = Duration(3000);
  settings_.revive_stalled_after = Duration(6000);
  settings_.lag_limit = 1'000'000;
  if (chance(0.2)) settings_.required = static_cast<unsigned>(random(1, static_cast<Ms>(count) - 1));
  for (size_t i = 0; i < count; ++i) {
    SimNode node;
    node.name = std::string(1, static_cast<char>('a' + i));
    node.founder = i == 0;
    if (i > 0 && chance(0.5)) node.server.state = Server::kAbsent;
    node.next_round = random(0, 500);
    boot(node);
    nodes_.push_back(std::move(node));
  }
  outcome_.setup = fmt::format("seed {}: {} nodes, {}", options_.seed, count,
                               settings_.durability == Durability::kQuorum   ? "quorum"
                               : settings_.durability == Durability::kStrict ? "strict"
                                                                             : "async");
  schedule_faults();
}

SimNode* World::find(const std::string& name) {
  auto it = std::find_if(nodes_.begin(), nodes_.end(), [&](const SimNode& n) { return n.name == name; });
  return it == nodes_.end() ? nullptr : &*it;
}

void World::note(const std::string& text) {
  if (options_.trace) std::printf("%7.3f %s\n", static_cast<double>(now_) / 1000, text.c_str());
}

void World::violate(Harm harm, const std::string& text) {
  note("VIOLATION " + text);
  if (outcome_.violations.size() < 5) {
    outcome_.violations.push_back({harm, fmt::format("at {:.3f} s: {}", static_cast<double>(now_) / 1000, text)});
  }
}

// A monotonic clock goes on from a number of its own, after a boot from zero.
void World::boot(SimNode& node) {
  node.clock_zero = now_ - (chance(0.3) ? 0 : random(0, 1'000'000'000));
  node.suspended_since.reset();
  node.woke = Time{};
}

bool World::linked(const std::string& from, const std::string& to) const {
  if ((from == "store" || to == "store") && !store_.up) return false;
  return !cuts_.contains({from, to});
}

void World::later(Ms wait, std::function<void()> what) { later_.push({now_ + wait, ++order_, std::move(what)}); }

void World::step() {
  while (!later_.empty() && later_.top().at <= now_) {
    auto what = later_.top().what;
    later_.pop();
    what();
  }
  if (store_.leader && store_.up && store_.leases[store_.leader->lease] <= now_) {
    note("store: the lease of " + store_.leader->holder + " ran out");
    store_.leader.reset();
    ++store_.revision;
    wake();
  }
  tick_servers();
  for (auto& node : nodes_) {
    if (!node.alive || node.paused || node.suspended_since) continue;
    if (node.pending && now_ >= node.pending_at) {
      auto decision = *node.pending;
      node.pending.reset();
      act(node, decision);
    } else if (!node.pending && now_ >= node.next_round) {
      round(node);
    }
  }
}

void World::check_end() {
  const SimNode* leader = nullptr;
  for (const auto& node : nodes_) {
    if (node.server.state != Server::kPrimary) continue;
    if (leader != nullptr)
      violate(Harm::kTwoPrimaries, fmt::format("{} and {} are primaries after all healed", leader->name, node.name));
    leader = &node;
  }
  if (leader == nullptr) {
    for (const auto& node : nodes_) note(node.name + " says: " + node.last_word);
    return violate(Harm::kStuck, "no primary after all healed");
  }
  if (now_ - last_ack_ > 3000)
    violate(Harm::kStuck, fmt::format("{} acknowledges nothing after all healed", leader->name));
  for (const auto& node : nodes_) {
    if (&node == leader) continue;
    auto link = leader->server.links.find(node.name);
    if (link == leader->server.links.end() || !link->second.streaming) {
      violate(node.server.trouble == Trouble::kDiverged ? Harm::kDiverged : Harm::kStuck,
              fmt::format("{} does not stream from {} after all healed", node.name, leader->name));
    }
  }
  if (outcome_.lossy == 0 && settings_.durability != Durability::kAsync) {
    std::set<uint32_t> there(leader->server.wal.begin(), leader->server.wal.end());
    auto lost = std::count_if(acked_.begin(), acked_.end(), [&](uint32_t id) { return !there.contains(id); });
    if (lost > 0) violate(Harm::kLost, fmt::format("{} acknowledged commits are not on {}", lost, leader->name));
  }
  if (changes_ > 2 * outcome_.faults + 3) {
    violate(Harm::kFlaps, fmt::format("{} changes of leader after {} faults", changes_, outcome_.faults));
  }
}

Outcome World::run() {
  for (; now_ < kEnd; now_ += kStep) {
    if (!healed_ && now_ >= kFaultsUntil) heal();
    step();
    if (!outcome_.violations.empty() && !options_.trace) return outcome_;
  }
  check_end();
  outcome_.acknowledged = acked_.size();
  outcome_.epochs = store_.epoch.epoch;
  return outcome_;
}

}  // namespace pgb::ha::testing
