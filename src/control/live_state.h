// Looks at the balancer all the time and keeps what is to be seen: the state, about once a second and at every change
// of a role or an order; the last quarter of an hour; what happened. Memory is bounded whatever happens. Another thread
// asks the lease store, so that one that does not answer makes nothing else old.
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
#include <vector>

#include "control/chart_history.h"
#include "control/event_log.h"
#include "control/group_roles.h"
#include "control/live_view.h"
#include "control/role_counts.h"

namespace pgb::control {

class LiveState {
 public:
  struct Settings {
    std::string group, cluster;
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
  // One JSON document: the state, how old it is, the events and the charts. Any thread, like all that follows.
  std::string snapshot(const Reader& you) const;
  std::string text() const;  // the same in short, for terminals; what is old is not said to be so still

  struct RoleNumbers {
    std::optional<GroupRoles::Now> roles;  // nothing: no lease store is kept here, or it has not answered lately
    std::optional<bool> store_up;          // nothing: there is none, or it has not been asked yet
    RoleCounts counts;
  };
  RoleNumbers role_numbers() const;
  // With which timelines began, oldest first; as the lease store's history said when it was read last.
  std::vector<dcs::HistoryLine> promotions() const;

  // What a reader of the stream gets, one piece after the other. A slow reader misses states, never events that are
  // still kept.
  class Stream {
   public:
    // `told`: the revision up to which another process told the history.
    Stream(const LiveState& live, EventPosition known, int64_t told)
        : live_(live), count_(live.streams_), known_(std::move(known)), told_(told) {}
    ~Stream() { --*count_; }
    Stream(const Stream&) = delete;
    Stream& operator=(const Stream&) = delete;
    // Server-sent events; empty if nothing is new within the time.
    std::string next(std::chrono::milliseconds wait);

   private:
    const LiveState& live_;
    const std::shared_ptr<std::atomic<size_t>> count_;
    uint64_t last_state_ = 0;
    EventPosition known_;
    const int64_t told_;
  };
  // Null if there are too many already. `known`: what the reader has, in any process; of a new reader nothing, who gets
  // only what happens from now on. It must not be asked after this has ended.
  std::shared_ptr<Stream> open(std::optional<EventPosition> known) const;

 private:
  void run();
  void run_roles();
  bool note_changes();
  void note_nodes(const proxy::TopologySnapshot& now);
  void note_primary(const proxy::TopologySnapshot& now);
  void note_orders(const proxy::Orders& now);
  void take(bool new_period);
  bool read_roles();
  void read_history();
  double age_s(std::chrono::steady_clock::time_point of) const;
  std::optional<GroupRoles::Now> roles_lately() const;
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

  // Of the thread that asks the lease store, which may be elsewhere and slow.
  std::set<std::string> told_;  // lines of the history
  bool knows_past_ = false;     // told_ holds what had happened before this process looked
  std::chrono::steady_clock::time_point history_read_{};

  mutable std::mutex mutex_;  // guards what follows
  mutable std::condition_variable news_;
  bool stopped_ = false;
  uint64_t state_number_ = 0;
  std::shared_ptr<const LiveView> view_;
  std::chrono::steady_clock::time_point taken_{};  // when that was so
  std::optional<GroupRoles::Now> roles_now_;
  std::optional<bool> store_up_;
  std::chrono::steady_clock::time_point roles_asked_{};  // when both were asked for
  bool roles_wanted_ = true, roles_changed_ = false;
  RoleCounts counts_;
  std::vector<dcs::HistoryLine> promotions_;
  std::optional<std::chrono::steady_clock::time_point> lost_;  // since when there is no primary
  EventLog events_;
  ChartHistory history_;
  mutable std::shared_ptr<const std::string> state_text_;  // of view_ as a piece of the stream, once somebody wanted it
  const std::shared_ptr<std::atomic<size_t>> streams_ = std::make_shared<std::atomic<size_t>>(0);
  std::thread thread_, roles_thread_;
};

}  // namespace pgb::control
