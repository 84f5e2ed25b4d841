// All that one agent knows when it decides: plain values. Times are monotonic and the observer's own; a wall clock has
// no place here. What an agent has to report truthfully stands beside each field: the proofs in ARCHITECTURE.md
// ("High availability") rest on it.
#pragma once

#include <chrono>
#include <compare>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace pgb::ha {

using Time = std::chrono::steady_clock::time_point;
using Duration = std::chrono::milliseconds;
using Epoch = uint64_t;  // of a leader; one epoch has one holder, ever (the store's compare-and-set)
using Timeline = uint32_t;
using Lsn = uint64_t;

// How much WAL a server has on disk. Timelines are unique in a group (see Decision::timeline), so that the order of
// positions is that of Raft's (term, index): of two histories the later leader's wins, then the longer.
struct Position {
  Timeline timeline = 0;
  Lsn lsn = 0;
  auto operator<=>(const Position&) const = default;
};

// A row of a timeline's history: where it left its parent.
struct Fork {
  Timeline timeline = 0;
  Lsn begin = 0;
  bool operator==(const Fork&) const = default;
};

enum class Durability { kAsync, kQuorum, kStrict };

// Which standbys must have a commit before it is acknowledged: any `required` of `members` (sorted, leader not among).
struct SyncSet {
  std::vector<std::string> members;
  unsigned required = 0;
  bool operator==(const SyncSet&) const = default;
};

// What the walsenders of a primary go by.
struct ServerSync {
  bool closed = true;  // no commit is acknowledged at all (see standby_names())
  SyncSet set;
  bool operator==(const ServerSync&) const = default;
};

enum class Server {
  kAbsent,    // no data directory
  kBuilding,  // a copy or rewind is under way or was broken off: no usable data
  kStopped,   // data, no server
  kStarting,  // a start or a promotion is under way
  kStandby,
  kPrimary,
};

enum class Health {
  kGood,
  kStalled,  // the write-path heartbeat is overdue
  kTcpOnly,  // accepts connections, answers nothing (stopped postmaster)
};

// What became of the stream a standby asked for last; none again after a start, a rewind or a copy.
enum class Trouble {
  kNone,
  kDiverged,    // its WAL is not a part of the leader's
  kWalRemoved,  // the leader no longer has the WAL it needs
};

// Why a server that led is down.
enum class Fault { kNone, kCrashed, kStalled, kDiskFull };

struct Following {
  std::string leader;
  Epoch epoch = 0;
  bool operator==(const Following&) const = default;
};

// One server as its own agent sees and publishes it.
struct NodeView {
  std::string name;
  Server server = Server::kAbsent;
  Health health = Health::kGood;
  std::string system_id;
  // WAL on disk, and the timeline that its end belongs to; none if unknown (crashed and not yet read, or not consistent
  // after a rewind). With `promised` above the epoch it followed, it must have been read after the walreceiver had
  // ended.
  std::optional<Position> flushed;
  // While `flushed` is not known: what it is known to have had. It may have had more, and may have lost it since.
  std::optional<Position> was_at;
  Lsn replayed = 0;
  std::vector<Fork> history;  // of its timeline, oldest first, its own timeline last; the first one begins at 0
  Epoch epoch = 0;            // running as primary: under which epoch
  // Kept on disk before it is published: never again does it stream from a leader of a lower epoch, also after a crash.
  Epoch promised = 0;
  // On disk: the last epoch it led, cleared before it is rewound, copied or follows another leader. Also raised as a
  // kAcquire says.
  Epoch led = 0;
  std::optional<Following> following;  // standby: whom primary_conninfo names
  bool streaming = false;              // and its walreceiver runs
  Trouble trouble = Trouble::kNone;
  int failed_rewinds = 0;     // that left the data as it was; since it last followed
  int failed_starts = 0;      // in a row, in whatever role
  int failed_promotions = 0;  // since it was a primary last, or got other data; forgotten with its agent
  uint64_t free_disk = UINT64_MAX;
  int priority = 1;                  // 0: never to be leader; of equals the highest
  std::vector<std::string> refused;  // whose agent's port refused this one's connection at its last look
  Time seen{};                       // when the observer got this (its clock)
  bool operator==(const NodeView&) const = default;
};

// A standby as the primary sees its walsender.
struct Link {
  bool streaming = false;
  Lsn flushed = 0;
  Time since{};  // of `streaming`'s last change
  bool operator==(const Link&) const = default;
};

// What the observer alone knows of its own node.
struct OwnView : NodeView {
  uint64_t lease = 0;    // id of the lease it holds; 0: none, also after the agent was restarted
  Time renewed{};        // when the last successful renewal was *sent*; none since its machine woke up: zero
  Time promised_at{};    // of `promised`
  Time up_since{};       // its server runs in its role
  Time well_at{};        // its server was in good health, or was started
  Epoch spent = 0;       // the last epoch under which its promotion failed: the number of the timeline is used up
  Time vouched_until{};  // it answered a leader's failsafe question: until then that leader may go on
  ServerSync sync;       // primary: in effect, that is, every walsender has taken it
  Lsn sync_since = 0;    // flushed WAL when `sync` was seen to be in effect
  // The kApplySync that was begun and is not seen to be in effect: `sync` may be what was before or what is to be. None
  // once it is, or once it is certain that it never will be (refused, or the server was stopped: then `sync` is what
  // its files say).
  std::optional<ServerSync> applying;
  // A kRecordSync was sent, its answer did not come, and leader key and /sync still have the revisions that it
  // compared: it may yet happen.
  bool recording = false;
  std::map<std::string, Link> links;  // down: as they were last, none of them streaming
  Fault fault = Fault::kNone;
  Duration recovery{0};       // stopped: expected time to be writable after a restart in place
  bool checkpointed = false;  // for the switchover asked for
  bool founder = false;       // its data directory was made as this group's first
  bool operator==(const OwnView&) const = default;
};

struct LeaderKey {
  std::string holder;
  Epoch epoch = 0;
  uint64_t lease = 0;  // the key vanishes with it
  uint64_t revision = 0;
  bool operator==(const LeaderKey&) const = default;
};

// Outlives the leader key: written in the same transaction.
struct EpochRecord {
  Epoch epoch = 0;
  std::string holder;
  Timeline timeline = 0;  // the highest ever promised to a leader
  uint64_t revision = 0;
  std::string system_id{};  // of the group's data; other data proves nothing and never leads
  bool operator==(const EpochRecord&) const = default;
};

// Where acknowledged commits are: on the leader and on `set.required` of `set.members`. Only a leader writes it.
// `heirs` are the timelines of those that were elected since and had all of them: so has whoever has such a timeline in
// its history, also if that leader was gone before it could record anything.
struct SyncRecord {
  std::string leader;
  Epoch epoch = 0;
  Durability durability = Durability::kQuorum;
  SyncSet set;
  uint64_t revision = 0;
  std::vector<Timeline> heirs{};
  bool operator==(const SyncRecord&) const = default;
};

struct Request {
  enum class Kind { kSwitchover, kFailover, kReinit, kResume } kind = Kind::kSwitchover;
  std::string node;  // switchover, failover: to whom, empty: the best; else which one
  bool force = false;
  Time deadline{};  // by the observer's clock, from the time left when it was written
  uint64_t id = 0;
  bool operator==(const Request&) const = default;
};

struct StoreView {
  bool reachable = false;  // if not, the rest is what it said last
  // When it was seen to have gone back: a revision that it answered with was below one before, or it is another cluster
  // by its id, so it was restored from a copy or made anew. Kept until /sync has another revision than it had then; in
  // memory only.
  std::optional<Time> restored;
  std::optional<LeaderKey> leader;
  Time leaderless_since{};
  EpochRecord epoch;
  std::optional<SyncRecord> sync;
  std::string transfer;  // the last leader let go in favour of this node
  std::optional<Request> request;
  bool paused = false;  // the key is there; what it means to a node: ARCHITECTURE.md, Pause
  bool operator==(const StoreView&) const = default;
};

// What a node's agent said when it was asked directly.
struct Evidence {
  enum class Contact { kUnknown, kAnswers, kRefused, kSilent } contact = Contact::kUnknown;
  Epoch epoch = 0;              // the highest it knows: promised, followed, led or read
  bool store_reachable = true;  // for it
  Time asked{};                 // when the question was sent
  Epoch failsafe = 0;           // whose leader it was asked to vouch for; 0: nobody's, its answer promises nothing
  bool operator==(const Evidence&) const = default;
};

struct Settings {
  Durability durability = Durability::kQuorum;
  unsigned required = 0;  // copies beside the leader's; 0: a majority of the group has each commit
  Duration lease{3000};
  Duration margin{500};          // before its end the leader has stopped
  Duration collect{300};         // how long an election waits for more nodes than it needs
  Duration turn{1000};           // how long it waits for a better candidate to act, and for the target of a transfer
  Duration drop_after{2000};     // a standby that does not stream leaves the sync set
  Duration degrade_after{8000};  // quorum: with no standby left the leader goes on alone, recorded
  Duration handover{400};        // what a hand-over takes
  // A leader that hangs while nobody can take over from it is restarted in place, which ends all its clients' work:
  Duration revive_after{15000};          // where it answers nobody
  Duration revive_stalled_after{30000};  // where it only does not write: it may still be read from
  Duration fresh{3000};                  // older news of a node does not make it a successor
  uint64_t lag_limit = 16 << 20;         // bytes that a failover may lose in async
  uint64_t near = 16 << 20;              // a standby that is farther behind becomes no member of a sync set
  // With less than that a leader hands over, to one that has twice as much: it shall not come back at once. Without
  // such a one, as where all share a disk, the group goes on, down to `full_disk`: with less a server cannot run.
  uint64_t min_free_disk = 256 << 20;
  uint64_t full_disk = 32 << 20;
  int max_starts = 2;
  bool operator==(const Settings&) const = default;
};

struct ClusterView {
  OwnView self;
  std::map<std::string, NodeView> peers;     // published states, also old ones
  std::map<std::string, Evidence> evidence;  // by peer
  std::vector<std::string> members;          // of the group, self among them
  StoreView store;
  Settings settings;
  bool operator==(const ClusterView&) const = default;
};

}  // namespace pgb::ha
