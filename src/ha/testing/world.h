// A seeded model of a group: servers with WAL and quorum commit, a store with leases, a network that loses, delays and
// reorders, agents that run decide() and can be paused at any moment, clients that write to whatever accepts it.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <queue>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "ha/decide.h"

namespace pgb::ha::testing {

using Ms = int64_t;

// A rule broken on purpose, to see that the simulation would notice.
enum class Mutation {
  kNone,
  kNoQuorumCheck,         // elects by lag alone
  kRelaxBeforeRecord,     // alters the server first, then records
  kIgnoreFence,           // goes on writing after it lost the lease
  kPromiseWithoutDetach,  // promises, but goes on streaming from the old leader
  kOpenAtOnce,            // accepts commits before /sync is its own
  kReuseTimeline,         // takes the next number that it knows of
  kRecordTooEarly,        // records a set before its members have all
  kNeverRewind,           // follows where it should rewind
  kOverlap,               // records and alters while the last record or setting is under way
  kNoHeirs,               // an election leaves no mark in /sync
  kTrustOldRecord,        // goes by /sync although the store went back
};
inline constexpr int kMutations = 12;
std::string to_string(Mutation mutation);

enum class Harm {
  kLost,          // an acknowledged commit
  kTwoPrimaries,  // that write, or under one epoch, or to the end
  kDiverged,      // a standby whose WAL is not its leader's
  kFlaps,         // more changes of leader than faults explain
  kStuck,         // all healed, but not everybody came back
  kNoRow,         // decide() has no answer
};

struct Violation {
  Harm harm;
  std::string text;
};

struct Connection {  // of a standby, at the primary
  bool streaming = false;
  Lsn acked = 0;
  Ms since = 0;
  uint64_t id = 0;
};

struct SimServer {
  Server state = Server::kStopped;
  std::string system_id = "7000";
  bool frozen = false;   // SIGSTOP
  bool stalled = false;  // its disk does not write
  bool slow = false;     // its disk writes little
  std::vector<uint32_t> wal;
  std::vector<Fork> history{{1, 0}};
  std::optional<Following> following;
  uint64_t connection = 0;  // standby: to its leader; 0: none
  Trouble trouble = Trouble::kNone;
  Epoch epoch = 0;
  ServerSync sync{false, {}};
  Lsn sync_since = 0;
  std::optional<ServerSync> next_sync;
  Ms next_sync_at = 0;
  size_t acknowledged = 0;  // of its WAL, to clients
  Timeline begun = 0;       // by its last promotion: a second one to the same number is refused
  Ms up_since = 0;
  std::map<std::string, Connection> links;

  Timeline timeline() const { return history.back().timeline; }
};

struct Job {  // what an agent runs beside its loop
  Decision decision;
  Ms done = 0;
};

using Revisions = std::pair<uint64_t, uint64_t>;  // of the leader key and of /sync

template <class Store>
Revisions revisions(const Store& store) {
  return {store.leader ? store.leader->revision : 0, store.sync ? store.sync->revision : 0};
}

struct SimNode {
  std::string name;
  SimServer server;
  std::optional<Job> job;
  // Agent, on disk.
  Epoch promised = 0;
  Epoch led = 0;
  bool founder = false;
  // Agent, in memory.
  bool alive = true;
  bool paused = false;
  std::optional<Ms> suspended_since;  // its machine
  Time woke{};                        // by its clock, and it knows that it slept
  Ms next_round = 0;
  std::string last_word;  // the sentence of its last round
  OwnView memory;         // lease, renewed, vouched_until, promised_at, fault, failed_…, checkpointed
  StoreView store;
  Ms store_asked = -1'000'000;  // when it answered last
  std::map<std::string, NodeView> peers;
  std::map<std::string, uint64_t> versions;
  std::map<std::string, Evidence> evidence;
  NodeView published;
  std::map<uint64_t, Time> asked;     // leases, when they were asked for
  uint64_t seen_revision = 0;         // of the store, the highest
  std::optional<uint64_t> went_back;  // the store did, and /sync had this revision then
  Time went_back_at{};
  std::optional<Revisions> recording;  // that the last kRecordSync compared
  std::optional<Decision> pending;     // decided, not yet done
  Ms pending_at = 0;
  uint64_t free_disk = UINT64_MAX;
  Ms recovery = 100;
  Ms well_at = 0;     // its server neither frozen nor stalled, or started
  Ms clock_zero = 0;  // when its monotonic clock, which no other shares, read zero
};

struct SimStore {
  bool up = true;
  uint64_t revision = 1;
  std::optional<LeaderKey> leader;
  std::map<uint64_t, Ms> leases;  // id, end
  EpochRecord epoch;
  std::optional<SyncRecord> sync;
  std::string transfer;
  std::optional<Request> request;
  bool paused = false;
  std::map<std::string, std::pair<uint64_t, NodeView>> published;
};

struct Options {
  uint64_t seed = 1;
  Mutation mutation = Mutation::kNone;
  bool trace = false;
  bool rare = false;  // also: the store is emptied or restored from a copy, another group's data are put on a node
};

struct Outcome {
  std::vector<Violation> violations;
  std::string setup;
  size_t acknowledged = 0;
  size_t epochs = 0;
  size_t faults = 0;
  size_t lossy = 0;
  std::set<std::pair<State, Event>> rows;  // of the transitions, that were taken
};

class World {
 public:
  explicit World(const Options& options);
  Outcome run();

 private:
  // world.cc: time, network, clients
  void step();
  void note(const std::string& text);
  void violate(Harm harm, const std::string& text);
  bool linked(const std::string& from, const std::string& to) const;
  bool both_ways(const std::string& a, const std::string& b) const { return linked(a, b) && linked(b, a); }
  Ms random(Ms low, Ms high) { return std::uniform_int_distribution<Ms>(low, high)(random_); }
  bool chance(double p) { return std::uniform_real_distribution<>(0, 1)(random_) < p; }
  Ms delay() { return chance(0.03) ? random(100, 1500) : random(1, 25); }
  Time time(const SimNode& node) const { return on_clock(node, now_); }
  Time on_clock(const SimNode& node, Ms when) const { return Time{} + Duration(when - node.clock_zero); }
  void boot(SimNode& node);
  void later(Ms wait, std::function<void()> what);
  void check_end();

  // servers.cc
  void tick_servers();
  void stream(SimNode& standby);
  void disconnect(SimNode& standby);
  void acknowledge(SimNode& primary);
  void write(SimNode& primary);
  void start(SimNode& node, bool primary);
  void kill_server(SimNode& node, Fault fault);
  void finish_job(SimNode& node);
  void rebuild(SimNode& node, const std::string& from, bool rewind);
  void promote(SimNode& node, const Decision& decision);
  void break_promotion(SimNode& node, const Decision& decision);
  void begin_timeline(SimServer& server, Timeline timeline);
  static void spend(SimNode& node, Epoch epoch);

  // agents.cc
  void round(SimNode& node);
  void notice_revision(SimNode& node);
  void observe(SimNode& node);
  NodeView publishable(const SimNode& node) const;
  ClusterView view_of(const SimNode& node) const;
  Decision decide_mutated(const SimNode& node, ClusterView view);
  void act(SimNode& node, const Decision& decision);
  void promise(SimNode& node, Epoch epoch);
  void detach(SimNode& node, Epoch epoch);
  void clear_request(const SimNode& node, Request::Kind kind);

  // transactions.cc
  void to_store(SimNode& node, std::function<bool()> transaction, std::function<void()> on_success);
  void put_sync(const Decision& decision);
  void acquire(SimNode& node, const Decision& decision);
  void record(SimNode& node, const Decision& decision);
  void release(SimNode& node, const Decision& decision);
  void renew(SimNode& node);
  void publish(SimNode& node);
  void wake();

  // faults.cc
  void schedule_faults();
  void fault();
  void kill_agent(SimNode& node);
  void revive_agent(SimNode& node);
  bool spare(const SimNode& node) const;
  void lose_disk(SimNode& node, Ms lasts);
  void suspend(SimNode& node, Ms lasts);
  void wake_up(SimNode& node);
  void heal();

  // rare.cc
  void schedule_rare();
  void empty_store();
  void restore_store();
  void copy_store();
  bool all_is_well() const;
  void foreign_data(SimNode& node, Ms lasts);
  void remove_foreign();

  // requests.cc
  void request(Request::Kind kind, const std::string& node, bool force);
  void any_request();
  void resume();
  void force_failover(SimNode& leader, Ms lasts);
  void last_resort();

  // ambush.cc: a failure at the worst moment
  enum class Moment { kPromoted, kRecorded };
  void lie_in_wait(Moment moment, SimNode& leader, Ms lasts);
  void passes(Moment moment, const SimNode& node);
  void slow_down(SimNode& node, Ms lasts);

  SimNode& any_node() { return nodes_[static_cast<size_t>(random(0, static_cast<Ms>(nodes_.size()) - 1))]; }
  SimNode* find(const std::string& name);
  SimNode& victim();  // rather the leader

  Options options_;
  std::mt19937_64 random_;
  Settings settings_;
  std::vector<SimNode> nodes_;
  SimStore store_;
  std::set<std::pair<std::string, std::string>> cuts_;
  struct Later {
    Ms at;
    uint64_t order;
    std::function<void()> what;
    bool operator<(const Later& other) const { return std::pair(at, order) > std::pair(other.at, other.order); }
  };
  std::priority_queue<Later> later_;
  Ms now_ = 0;
  uint64_t order_ = 0;
  uint64_t connections_ = 0;
  uint32_t writes_ = 0;
  uint64_t leases_ = 0;
  bool healed_ = false;
  std::string wiped_;  // whose disk was lost
  std::vector<SimStore> copies_;
  Ms quiet_until_ = 0;
  bool store_lost_ = false;
  std::optional<Moment> awaited_;
  std::set<uint32_t> own_records_;  // WAL that no client wrote
  std::vector<uint32_t> acked_;
  Ms last_ack_ = 0;
  Epoch highest_acked_ = 0;
  std::map<Epoch, std::string> owner_;
  std::string last_holder_;
  size_t changes_ = 0;
  Outcome outcome_;
};

}  // namespace pgb::ha::testing
