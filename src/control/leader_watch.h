// Tells who the leader of a group is, and that it is about to hand over, as its lease store knows it, as soon as it
// knows.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <thread>

#include "base/canceller.h"
#include "dcs/dcs.h"
#include "proxy/health.h"

namespace pgb::control {

// A leader key's value: {"holder": "node", "epoch": 7}. Nothing for what is none.
std::optional<proxy::Leader> parse_leader(std::string_view text);

// Who is about to hand over and waits to hear that nothing is under way: {"node": "node"}; empty: nobody waits.
std::string parse_handover(std::string_view text);

// Where a group's keys are. The store must outlive who watches it.
struct WatchedStore {
  dcs::Dcs& store;
  std::string group;
  std::string root = "/pgbalancer/";  // all of the group's keys begin so; as it stands: of whatever cluster
  std::chrono::milliseconds silence{
      0};  // after so long without an answer nobody is known to lead; 0: it always answers
};

class LeaderWatch {
 public:
  using OnLeader = std::function<void(std::optional<proxy::Leader>)>;
  // That node is to get no new work: returns whether nothing is under way there any more. Empty: no node leaves.
  using OnHandover = std::function<bool(const std::string& node)>;

  // Begins to watch the group's leader key. The two are called on a thread of its own, `on_leader` for the first time
  // as soon as the store answers: with the leader; with one without a name when the key of one that it knew is gone and
  // failover is not paused (then agents may be away, and their server serves on); with nothing when it has named nobody
  // yet, or been silent for too long.
  LeaderWatch(WatchedStore watched, OnLeader on_leader, OnHandover on_handover);
  ~LeaderWatch();
  LeaderWatch(const LeaderWatch&) = delete;
  LeaderWatch& operator=(const LeaderWatch&) = delete;

 private:
  void run();
  void take(const dcs::Event& event);
  void take_handover(const dcs::KeyValue& kv);
  void tell_leader();
  void leave_nobody();
  bool is_of_group(const std::string& key, const std::string& suffix) const;
  bool may_be_silent() const { return watched_.silence.count() > 0; }
  dcs::Revision tell_now();
  void note_silence();
  Deadline watch_limit() const;

  const WatchedStore watched_;
  const std::string leader_, handover_, pause_;  // how the keys end
  const OnLeader on_leader_;
  const OnHandover on_handover_;
  std::optional<proxy::Leader> now_;   // the watch's thread alone, like all that follows
  std::optional<int64_t> last_epoch_;  // that was seen since the store was silent
  bool paused_ = false;
  std::string leaving_;
  dcs::Revision gave_up_on_ = 0;                   // of a handover that took too long
  std::chrono::steady_clock::time_point heard_{};  // the store's last answer
  bool silent_ = false;                            // for too long, and said so
  Canceller canceller_;
  std::thread thread_;
};

}  // namespace pgb::control
