// The agent of a group with a lease store: observe, decide, act, publish, over and over.
//
// The loop itself never waits for the store, for a peer, for the disk of the data or for a server; all of these have
// threads of their own and leave their news. One act at a time runs on the worker; what it did to our knowledge is
// taken over between two rounds. Fencing is done by the loop, at once, whatever the worker does.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "agent/config_files.h"
#include "agent/history_notes.h"
#include "agent/memory.h"
#include "agent/peers.h"
#include "agent/server_acts.h"
#include "agent/server_watch.h"
#include "agent/store_link.h"
#include "agent/wake.h"
#include "agent/worker.h"
#include "api/agent_api.h"
#include "ha/decide.h"
#include "os/signals.h"

namespace pgb::agent {

class MemberAgent {
 public:
  MemberAgent(const AgentConfig& config, std::string bin_dir, os::SignalFd signals);
  ~MemberAgent();

  int run();  // until SIGTERM or SIGINT; the program's exit code

  // For the HTTP threads.
  api::MemberAnswer answer(const api::MemberQuestion& question);
  api::Explanation explain() const;
  const Progress& progress() const { return progress_; }
  const Postmaster& postmaster() const { return postmaster_; }

 private:
  using Revisions = std::pair<uint64_t, uint64_t>;  // of the leader key and of /sync
  static Revisions revisions(const ha::StoreView& store);

  // The loop's own knowledge, besides what the watchers have.
  struct Own {
    ha::Server server = ha::Server::kStopped;  // while none of ours runs
    bool up = false;                           // our server has been started and has answered
    bool primary = false;                      // it runs as one
    bool ends_expected = false;                // we end it ourselves
    bool foreign = false;
    bool unfurnished = false;  // initdb is done, roles and init SQL are not
    ha::Epoch slots_of = 0;    // it made the others' slots in this epoch
    std::string system_id;
    std::optional<ha::Position> at_rest;
    ha::Lsn redo = 0, last_flushed = 0;
    std::optional<ha::Position> was_at;  // the last position that was known
    ha::Epoch epoch = 0;
    std::optional<ha::Following> following;
    ha::Trouble trouble = ha::Trouble::kNone;
    ha::Time followed_at{}, streamed_at{};
    ha::Time others_first{};  // it gave the role up in favour of another: until then that one comes first
    int failed_rewinds = 0, failed_starts = 0, failed_promotions = 0;
    ha::Epoch spent = 0;  // by a promotion that failed
    std::string failure;  // of the last copy or rewind, in one line; empty: it was none
    ha::Fault fault = ha::Fault::kNone;
    bool checkpointed = false;
    uint64_t checkpointed_for = 0;  // the request's id
    uint64_t lease = 0;
    ha::Time up_since{}, well_at{};
    ha::ServerSync sync;
    ha::Lsn sync_since = 0;
    ha::Time sync_seen{};  // when it was found in effect
    std::optional<ha::ServerSync> applying;
    uint64_t request = 0, request_ready = 0;  // its id: the last one seen, and the last one that may be decided on
    ha::Time request_since{};
    ha::Time next_room_look{};
    std::optional<Revisions> recording;  // that the last kRecordSync compared
    std::map<std::string, ha::Link> links;
    std::vector<ha::Fork> history;
    std::optional<ServerFacts> read;  // standby without a leader: its position, read after its walreceiver ended
  };
  using After = std::function<void(Own&)>;  // what an act that is done changes in our knowledge

  Status claim_older_data();
  Status prepare();
  void round();
  void take_done();
  void wait();
  void look_at_files();
  int stop();
  void hand_over();

  // observe
  ha::ClusterView look();
  void look_at_server(ha::OwnView& self);
  void look_at_links(const ServerFacts& facts, ha::Time now);
  void look_at_sync(const ServerFacts& facts);
  void look_at_standby(const ServerFacts& facts, ha::OwnView& self);
  void look_at_ladder(const ha::ClusterView& view);
  void note_request();
  void note_round();
  void look_at_key(const StoreNews& news, ha::ClusterView& view);
  void look_back(const StoreNews& news, ha::OwnView& self);
  ha::Health health_of(const ServerWatch::State& state) const;
  void take_end();
  ha::Duration recovery() const;

  // act
  void act(const ha::ClusterView& view, const ha::Decision& decision);
  void act_on_server(const ha::ClusterView& view, const ha::Decision& decision);
  bool act_on_store(const ha::ClusterView& view, const ha::Decision& decision);
  void fence(const ha::Decision& decision);
  void end_start(const ha::Decision& decision);
  void begin(const ha::Decision& decision, std::function<After()> what);
  bool beside_decisions(const ha::ClusterView& view, const ha::Decision& decision);
  After started(Status done, ha::Epoch epoch, std::optional<ServerFacts> known = std::nullopt);
  void restart(const ha::Decision& decision);
  void promote(const ha::Decision& decision);
  static void spend(Own& own, ha::Epoch epoch);
  After detached(Result<std::optional<ServerFacts>> done);
  After rebuilt(Status done, bool rewind);
  After rewound(const Member& to, ha::Epoch epoch);
  After released(bool in_favour, bool gone, Result<std::optional<ServerFacts>> done);
  After apply(const ha::ServerSync& sync);
  bool lets_others_first(const ha::ClusterView& view, const ha::Decision& decision) const;
  bool may_found(const ha::ClusterView& view) const;
  Status found();
  After founded(Status done);
  After furnished(Status done);
  void forget_server(Own& own);
  void at_rest(Own& own);
  void say(const ha::ClusterView& view, const ha::Decision& decision);
  void show(const ha::ClusterView& view, const ha::Decision& decision);
  static Publication publication(const ha::ClusterView& view, const ha::Decision& decision);
  ha::Decision with_failure(ha::Decision decision) const;

  AgentConfig config_;
  std::string bin_dir_;
  DataDir dir_;
  Progress progress_;
  Postmaster postmaster_;
  Memory memory_;
  ServerActs acts_;
  os::SignalFd signals_;
  ConfigFiles files_;
  Wake wake_;

  Own own_;
  mutable std::mutex mutex_;  // of what other threads read and write: the next seven
  ha::Epoch known_epoch_ = 0;
  bool store_reachable_ = true;  // until we know better: it vouches for nobody
  ha::Time vouched_until_{};
  ha::Duration lease_{3000};
  std::map<uint64_t, ha::Time> asked_;  // leases, when they were asked for
  std::optional<After> done_;           // by the act that has just ended
  struct Sight {                        // of the last round
    ha::ClusterView view;
    std::string state, sentence;
  };
  std::shared_ptr<const Sight> sight_;

  std::optional<ha::Decision> doing_;
  uint64_t life_ = 0;        // of our server: each one that ends counts
  uint64_t doing_life_ = 0;  // the one that is acted on
  ha::Time next_upstream_look_{}, next_renewal_{}, next_file_look_{};
  HistoryNotes notes_;
  std::atomic<bool> give_up_{false};
  std::string said_;
  bool stopping_ = false;
  bool begins_anew_ = false;  // after that, with another configuration
  bool soon_ = false;
  std::chrono::milliseconds slept_{0};  // this machine, since it was started
  ha::Time woke_{};
  ha::Time last_round_{}, awake_since_{};  // this process itself was stopped, or got no processor, before
  ha::Time fail_until_{};                  // an act that failed is not tried again before

  std::unique_ptr<StoreLink> store_;
  std::unique_ptr<ServerWatch> watch_;
  std::unique_ptr<Peers> peers_;
  std::unique_ptr<Worker> worker_, teller_;  // last: they use all of them
};

}  // namespace pgb::agent
