// What an agent and the lease store have to do with each other: news as they come, publication, the renewal of the
// lease, each on a thread of its own, and transactions on the caller's.
#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "agent/agent_config.h"
#include "agent/records.h"
#include "agent/store_age.h"
#include "base/canceller.h"
#include "dcs/dcs.h"
#include "dcs/keys.h"
#include "ha/decision.h"

namespace pgb::agent {

// The store as it was at one moment.
struct StoreNews {
  bool ever = false;  // it has answered once
  ha::Time asked{};   // when the question was sent
  ha::StoreView view;
  std::optional<ReadRequest> request;  // its deadline stands in view.request
  struct Node {
    Publication said;
    ha::Time seen{};
  };
  std::map<std::string, Node> nodes;
};

class StoreLink {
 public:
  // `on_news` runs on threads of ours. kConfig if an address cannot be used.
  static Result<std::unique_ptr<StoreLink>> open(const AgentConfig& config, std::function<void()> on_news);
  ~StoreLink();

  StoreNews news() const;

  // To be written soon, what is not new with one of the next looks; only the newest one counts.
  void publish(const Publication& publication);
  // Renews that lease soon, once. When it was renewed last: renewed(), the time before the question was sent.
  void renew(uint64_t lease);
  ha::Time renewed(uint64_t lease) const;

  // Each takes less than a second and returns true if the transaction was done, false if it was not, or if nobody
  // knows; then look again.
  // `on_lease` gets the lease's id and when it was asked for, before the key can exist.
  bool acquire(const ha::ClusterView& seen, const ha::Decision& decision,
               const std::function<void(uint64_t, ha::Time)>& on_lease);
  // True also if nobody knows: as long as leader key and /sync have the revisions of `seen` it may yet happen.
  bool record(const ha::ClusterView& seen, const ha::Decision& decision);
  bool release(const ha::ClusterView& seen, const ha::Decision& decision, const Publication& publication);
  bool clear_request(uint64_t id, const std::string& sentence);

  // Before its server is stopped for a switchover the leader asks for quiet: true once a balancer has said that it has
  // sent all its work elsewhere, false if none has within that time. What was asked for ends with the lease, with
  // release(), or with end_quiet(), which waits for nobody: a server that is to be started does not wait for the store.
  bool ask_for_quiet(uint64_t lease, Deadline deadline);
  void end_quiet();

  // One more line of the history; a store that does not answer goes without.
  void tell(ha::Epoch epoch, const std::string& action, const std::string& sentence);

  // Removes what is older than the last few hundred lines of the history.
  void trim_history();

  // Asks the store now, so that news() has what the caller did.
  bool refresh();

 private:
  StoreLink(const AgentConfig& config, std::function<void()> on_news)
      : config_(config), keys_(config.cluster, config.group), on_news_(std::move(on_news)) {}

  void start();
  void watch();
  bool is_news(const dcs::Event& event) const;
  void keep_fresh();
  bool take_quiet_back();
  void keep_lease();
  bool look(const std::optional<std::string>& publication);
  bool take(const dcs::TxnResult& answer, ha::Time asked);
  bool take_nodes(const std::vector<dcs::KeyValue>& kvs, bool are_old, ha::Time now);
  void take_request(const std::vector<dcs::KeyValue>& kvs, ha::Time now);
  dcs::Op history_op(ha::Epoch epoch, const std::string& action, const std::string& sentence,
                     const std::string& request = {}, ha::Timeline timeline = 0) const;

  const AgentConfig& config_;
  dcs::Keys keys_;
  std::function<void()> on_news_;
  std::unique_ptr<dcs::Dcs> dcs_;
  Canceller stop_watch_;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  bool ends_ = false;
  bool dirty_ = true;
  StoreNews news_;
  std::optional<std::string> publication_;  // not yet written
  bool urgent_ = false;                     // it cannot wait for the next look
  std::string offered_;                     // the last one, without what changes all the time
  ha::Time offered_at_{};
  bool quiet_asked_ = false, quiet_over_ = false;  // quiet_over_: what was asked for is to be taken back
  uint64_t renew_ = 0;
  std::map<uint64_t, ha::Time> renewed_;
  StoreAge age_;
  std::map<std::string, int64_t> node_revisions_;  // of what each published last
  std::map<std::string, std::string> node_marks_;  // the same without what changes all the time
  std::vector<int64_t> key_revisions_;             // of the keys that are no node's
  int64_t request_made_ = 0;                       // create_revision of the request whose time runs
  ha::Time request_since_{};

  std::thread watcher_, refresher_, renewer_;  // last: they use the others
};

}  // namespace pgb::agent
