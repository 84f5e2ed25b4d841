// Looks at the balancer all the time and keeps what is to be seen: the state, about once a second and at every change
// of a role or an order; the last quarter of an hour; what happened. Memory is bounded whatever happens.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>

#include "control/chart_history.h"
#include "control/event_log.h"
#include "control/group_roles.h"
#include "control/live_view.h"
#include "control/role_counts.h"

namespace pgb::control {

class LiveState {
 public:
  struct Settings {
    std::string group;
    std::chrono::milliseconds look{100};     // for changes
    std::chrono::milliseconds period{1000};  // of the rates
    size_t most_streams = 32;
  };
  // Looks at the proxy and at the roles (null: there are none to be known), on a thread of its own. Both must live
  // longer.
  LiveState(const proxy::Admin& proxy, const GroupRoles* roles, Settings settings);
  ~LiveState();
  LiveState(const LiveState&) = delete;
  LiveState& operator=(const LiveState&) = delete;

  struct Reader {
    std::string role, user;  // what the balancer takes him for
  };
  // One JSON document: the state, the events and the charts. Any thread, like all that follows.
  std::string snapshot(const Reader& you) const;
  std::string text() const;  // the same in short, for terminals

  struct RoleNumbers {
    std::optional<GroupRoles::Now> roles;  // nothing: no lease store is kept here, or it has not answered lately
    RoleCounts counts;
  };
  RoleNumbers role_numbers() const;

  // What a reader of the stream gets, one piece after the other. A slow reader misses states, never events that are
  // still kept.
  class Stream {
   public:
    Stream(const LiveState& live, uint64_t last_event) : live_(live), count_(live.streams_), last_event_(last_event) {}
    ~Stream() { --*count_; }
    Stream(const Stream&) = delete;
    Stream& operator=(const Stream&) = delete;
    // Server-sent events; empty if nothing is new within the time.
    std::string next(std::chrono::milliseconds wait);

   private:
    const LiveState& live_;
    const std::shared_ptr<std::atomic<size_t>> count_;
    uint64_t last_state_ = 0;
    uint64_t last_event_;
  };
  // Null if there are too many already. `last_event`: the id of the newest that is known; of a new reader nothing, who
  // gets only what happens from now on. It must not be asked after this has ended.
  std::shared_ptr<Stream> open(std::optional<uint64_t> last_event) const;

 private:
  void run();
  bool note_changes();
  void note_nodes(const proxy::TopologySnapshot& now);
  void note_primary(const proxy::TopologySnapshot& now);
  void note_orders(const proxy::Orders& now);
  void take(bool new_period);
  void read_roles();
  void read_history();
  void say(std::string kind, std::string node, std::string text);
  void add(LiveEvent event);

  const proxy::Admin& proxy_;
  const GroupRoles* const roles_;
  const Settings settings_;

  // Of the thread alone.
  proxy::TopologyPtr topology_;
  proxy::OrdersPtr orders_;
  Look second_ago_, step_ago_;
  Rates rates_;
  std::string last_primary_;

  std::optional<GroupRoles::Now> roles_now_;
  std::set<std::string> told_;  // lines of the history
  bool knows_past_ = false;     // told_ holds what had happened before this process looked
  std::chrono::steady_clock::time_point history_read_{};

  mutable std::mutex mutex_;  // guards what follows
  mutable std::condition_variable news_;
  bool stopped_ = false;
  uint64_t state_number_ = 0;
  std::shared_ptr<const LiveView> view_;
  std::chrono::steady_clock::time_point view_made_{};
  RoleCounts counts_;
  std::optional<std::chrono::steady_clock::time_point> lost_;  // since when there is no primary
  EventLog events_;
  ChartHistory history_;
  mutable std::shared_ptr<const std::string> state_text_;  // of view_ as a piece of the stream, once somebody wanted it
  const std::shared_ptr<std::atomic<size_t>> streams_ = std::make_shared<std::atomic<size_t>>(0);
  std::thread thread_;
};

}  // namespace pgb::control
