// The roles of the group's servers where agents choose them: what their lease store says of them, be it kept by this
// process or an etcd elsewhere, and what can be asked of the agents there. Where there is none, everything answers
// that.
#pragma once

#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/deadline.h"
#include "base/result.h"
#include "control/member_ages.h"
#include "dcs/role_change.h"

namespace pgb::control {

class GroupRoles {
 public:
  struct Fork {  // where a timeline began
    uint64_t timeline = 0, begin = 0;
  };
  static constexpr double kSilent_s = 5;  // agents speak every second: one that has not for so long is gone

  struct Member {
    std::string name, state, sentence;   // as its agent published last; state "silent" if it speaks no more
    std::optional<std::string> follows;  // whom it streams from; nothing, as all that follows, of a silent one
    bool streaming = false;              // just now
    uint64_t timeline = 0;
    std::vector<Fork> history = {};  // of its timelines, the first one first
    int64_t revision = 0;            // of what it published
    std::string commits_wait = {};   // what those of a primary wait for in vain; empty: for nothing
    double age_s = 0;                // for how long that has been its last word, by our clock, since we look
    bool silent() const { return age_s >= kSilent_s; }
  };
  struct Now {
    std::string cluster;
    std::string leader;  // empty: nobody leads
    uint64_t epoch = 0;
    std::string durability;                 // "async", "quorum", "strict"
    std::vector<std::string> sync_members;  // of whom `sync_required` have each acknowledged commit
    uint64_t sync_required = 0;
    std::string sync_leader;  // under whom that was recorded: for a moment not yet the one who leads
    bool paused = false;
    std::optional<std::string> request;  // that stands: "switchover to node2"
    std::vector<Member> members;         // whose agents have their say, sorted by name
    std::string commits_wait() const;    // as the leader says; empty: they wait for nothing, or it does not speak
  };

  // `cluster`: the name under which the group stands in the store; empty: the one that is there, a store of one
  // cluster.
  explicit GroupRoles(std::string group, std::string cluster = {})
      : group_(std::move(group)), cluster_(std::move(cluster)) {}

  // From now on with that store; null: there is none any more. Waits for nobody: calls under way keep the store that
  // they began with until they end, and what takes its time (see below) ends soon.
  void use(std::shared_ptr<dcs::Dcs> store);
  bool has_store() const;
  // Whether it answers, within two seconds, be there agents or not. False without one.
  bool answers() const;

  // All: kNotReady if agents do not choose the primary here, or none of them has come yet; else what the store says,
  // within two seconds, or for the history by the deadline, if it does not answer.
  Result<Now> now() const;
  // What now() said last, to whomever, if that is no older than three seconds. Waits for nobody.
  std::optional<Now> lately() const;
  // Oldest first.
  Result<std::vector<dcs::HistoryLine>> history(Deadline deadline = Deadline::after(std::chrono::seconds(10))) const;
  // Returns when the new primary takes writes; for errors see dcs::wait_for_change().
  Result<dcs::RoleChange> switchover(const std::string& node);
  // Asks that a replica be made anew as a full copy; does not wait for it. kNotReady while nobody leads.
  Status reinit(const std::string& node);
  // From now on nobody takes over by himself; and again so. What has come of it, in a sentence. The second waits for
  // the leader, 20 s at most; without one it is kNotReady, for only who can look at every server may end it then.
  Result<std::string> pause();
  Result<std::string> resume();

 private:
  // What is done with one store, which stays meanwhile. No lock is held.
  template <class Work>
  auto with_store(Work work) const -> decltype(work(std::declval<dcs::Dcs&>(), std::declval<const dcs::Keys&>()));

  std::shared_ptr<dcs::Dcs> store() const;
  void note(Now& now) const;
  Status go_on(const dcs::Dcs& store) const;  // an error once that one is used no more

  const std::string group_, cluster_;
  mutable std::mutex mutex_;
  std::shared_ptr<dcs::Dcs> store_;  // guarded by mutex_, like what follows
  mutable MemberAges ages_;
  mutable std::optional<Now> last_;
  mutable std::chrono::steady_clock::time_point last_at_{};
};

}  // namespace pgb::control
