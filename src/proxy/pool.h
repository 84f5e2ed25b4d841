// The servers of one database and user, for the sessions of one reactor's thread: idle ones, and who waits for one.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "proxy/cancel_job.h"
#include "proxy/kept_queue.h"
#include "proxy/quota.h"
#include "proxy/server.h"
#include "proxy/traffic.h"

namespace pgb::proxy {

// Who wants a server. Calls come on the pool's thread, and never from inside the call that asked.
class PoolClient {
 public:
  virtual void server_given(Server& server) = 0;
  // None will come. `error`: what the server said when it refused the pool's login.
  virtual void server_refused(const std::string& why, const pgwire::ErrorResponse* error) = 0;
  // The node is not what it was: choose again.
  virtual void node_changed() = 0;
  virtual uint64_t pool_client_id() const = 0;

 protected:
  ~PoolClient() = default;
};

class Pool final : public ServerOwner, public ServerUser {
 public:
  Pool(ReactorContext& context, std::string user, std::string database);
  ~Pool();

  const std::string& user() const { return user_; }
  const std::string& database() const { return database_; }
  // For servers to come: what the client that logged in last proved, or what is configured. One that brings nothing
  // (a rule trusts it) changes nothing.
  void set_credentials(pgwire::Credentials known) {
    if (!known.empty()) credentials_ = std::move(known);
  }

  // A server of that node: one that is idle, else null: the client is told later, or calls forget().
  // `own`: rather the one that has this client's numbers of sequences. One that is kept for another client's sake is
  // taken only where no more servers may be opened, or after a moment.
  Server* get(PoolClient& client, const NodeView& node, bool own = false);
  void forget(PoolClient& client);
  // The server is idle or will be closed; it serves nobody from now on.
  void give_back(Server& server);
  // Takes a server away that is of no use any more, wherever it stands.
  void discard(Server& server);
  // Likewise one that may be at work for somebody who is gone. It counts until it has ended that, or for half a minute.
  // `cancel`: it is asked to end it. `on_end`, which may be empty, is called once, never from inside this call.
  enum class WorkEnd : uint8_t { kFailed, kDone, kUnknown };
  void end_work(Server& server, bool cancel, std::function<void(WorkEnd)> on_end);
  // Ends the transaction that it is in; then it is idle again. Quiet servers only.
  void roll_back(Server& server);
  // Cleans the server of whatever its session left behind, then it is idle again. Quiet servers only.
  void clean_up(Server& server);

  void on_topology();
  void on_orders();
  void on_settings();
  const PoolLimits& limits() const { return limits_; }
  // Every server of that node (empty: of all) is closed as soon as it is free.
  void retire(const std::string& node);
  // Adds to `busy` and `bound` the servers of that node (empty: of all) that its clients have.
  void count_taken(const std::string& node, uint64_t& busy, uint64_t& bound) const;
  void list(std::vector<PoolRow>& pools) const;
  void list(std::vector<ServerRow>& servers) const;
  TrafficRow traffic_row() const;
  // Time-outs; called about ten times a second.
  void tick();
  // Opens servers up to the least number that there shall be.
  void keep_warm();
  // Why there is no server yet, as far as is known.
  const std::string& last_failure() const { return last_failure_; }

  // From another reactor's thread, by way of its loop.
  void donate(const std::string& node, unsigned to);
  void adopt(std::unique_ptr<Server> server);

  Traffic traffic;
  unsigned sessions = 0;            // that hold a pointer to this pool
  bool asks_for_sequences = false;  // some session here called currval() or lastval()
  bool unused() const;

 private:
  using Waiter = std::pair<PoolClient*, int64_t>;  // since (ns)
  struct Branch {                                  // of one node
    NodeView node;
    QuotaPtr quota;
    std::vector<Server*> idle;  // the one used last is the last
    KeptQueue<Waiter> waiting;
    unsigned connecting = 0;
    int64_t retry_at = 0;
    int64_t warm_at = 0;  // when one may be opened next that nobody waits for
  };
  struct Ending {  // a server that is at work for nobody any more
    Server* server = nullptr;
    bool cancel = false;
    uint64_t errors = 0;  // that it had told before
    int64_t cancel_at = 0, until = 0;
    std::unique_ptr<CancelJob> job;
    std::function<void(WorkEnd)> on_end;
  };

  Branch& branch(const NodeView& node);
  Branch* find(const std::string& key);
  void open(Branch& branch);
  unsigned limit_of(const Branch& branch, int64_t waiting_since) const;
  bool is_one_too_many(const Branch& branch) const;
  void discard_some(Branch& branch);
  bool is_to_be_warm(const NodeView& node) const;
  bool is_ending(const Server& server) const;
  void look_at_endings();
  void end_ending(size_t at, WorkEnd how);
  void open_for_waiters(Branch& branch);
  static bool is_standby(const Server& server);
  void refuse_standby(Branch& branch, Server& server);
  void serve_or_rest(Branch& branch, Server& server);
  bool give_away(Branch& branch, Server& server, unsigned to);
  void note_waiting(Branch& branch);
  std::unique_ptr<Server> take_out(Server& server);
  bool is_doubtful(const Server& server) const;
  void eject(Branch& branch, const std::string& why);
  bool is_kept(const Branch& branch, const Server& server) const;
  void give_kept(Branch& branch);
  void hand_over(Branch& branch, Server& server);
  Server* take_idle(Branch& branch, const PoolClient& client, bool own);
  void retire(Branch& branch);
  static const char* state_of(const Server& server);
  void displace(Branch& branch, std::vector<Waiter>& displaced);
  void refuse_all(Branch& branch, const std::string& why, const pgwire::ErrorResponse* error);

  // ServerOwner
  void server_logged_in(Server& server) override;
  void server_failed(Server& server, const std::string& why, const pgwire::ErrorResponse* error) override;
  void server_closed(Server& server) override;
  // ServerUser, while it is cleaned or checked
  void server_says(std::string_view) override {}
  bool congested() const override { return false; }
  void server_drained() override {}
  void server_ready(Server&) override {}
  void server_answered(Server& server, Purpose purpose, InternalAnswer answer) override;
  void server_lost(Server& server, const Loss&) override;

  ReactorContext& context_;
  const std::string user_;
  const std::string database_;
  PoolLimits limits_;
  pgwire::Credentials credentials_;
  std::vector<std::unique_ptr<Branch>> branches_;
  std::vector<std::unique_ptr<Server>> servers_;
  std::vector<std::unique_ptr<Ending>> endings_;
  std::string last_failure_;
  net::EventLoop::Clock::time_point made_before_;  // servers that are older are to be replaced
};

// All pools of a reactor.
class Pools {
 public:
  explicit Pools(ReactorContext& context) : context_(context) {}
  Pool& of(const std::string& user, const std::string& database);
  Pool* find(const std::string& user, const std::string& database);
  void on_topology();
  void on_orders();
  void on_settings();
  template <class Visit>
  void each(Visit visit) {  // visit(pool)
    for (auto& [key, pool] : pools_) visit(*pool);
  }
  void tick();
  void clear() { pools_.clear(); }
  void list(std::vector<TrafficRow>& rows) const;

 private:
  void remember(const Pool& pool);
  void keep_configured();

  ReactorContext& context_;
  std::map<std::pair<std::string, std::string>, std::unique_ptr<Pool>> pools_;
  std::map<std::string, Traffic> past_;  // of pools that are gone, by database
};

}  // namespace pgb::proxy
