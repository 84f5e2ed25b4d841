// The proxy: reactor threads that serve PostgreSQL clients from the group's servers.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "proxy/admin.h"
#include "proxy/auth_directory.h"
#include "proxy/cancel_registry.h"
#include "proxy/catalog_directory.h"
#include "proxy/console.h"
#include "proxy/counters.h"
#include "proxy/hba_rules.h"
#include "proxy/numbers.h"
#include "proxy/reactor.h"
#include "proxy/settings.h"

namespace pgb::proxy {

class Proxy final : public Admin {
 public:
  // Listens and begins to serve. kPortInUse, kConfig (address), kIo. With `listeners`, of a process that this one takes
  // over from, it listens there and takes no client before accept(true).
  static Result<std::unique_ptr<Proxy>> start(Settings settings, TopologyPtr topology,
                                              std::vector<os::UniqueFd> listeners = {});
  ~Proxy() override;

  // Tells all clients that the balancer shuts down, closes everything and waits for the threads.
  void stop();

  Stats stats() const override;
  TopologyPtr topology() const override;
  void apply(TopologyPtr snapshot) override;
  void set_pool(const PoolSettings& settings) override;
  // For logins to come; null: SCRAM-SHA-256 for everyone. Any thread.
  void set_hba(HbaRulesPtr rules) { hba_.set(std::move(rules)); }
  PoolSettings pool_settings() const override;
  // Null: there is none. Any thread. It must not use this proxy after the proxy has ended.
  void set_console(ConsolePtr console) { console_.set(std::move(console)); }
  uint16_t port() const override { return port_; }

  std::vector<PoolRow> pools() const override;
  std::vector<ClientRow> clients() const override;
  std::vector<ServerRow> servers() const override;
  std::vector<RouteRow> routes() const override;
  std::vector<VerdictRow> verdicts() const override;
  std::vector<TrafficRow> traffic() const override;
  std::vector<LatencyRow> latencies() const override;
  Counted counted() const override;
  std::vector<CacheRow> caches() const override;
  Outcome forget_statements(const std::string& database) override;
  Result<UserSecret> secret_of(const std::string& user, Time wait) override;
  OrdersPtr orders() const override;
  Result<Outcome> pause(const std::string& database, Time wait) override;
  Result<Outcome> resume(const std::string& database) override;
  Result<Outcome> drain(const std::string& node, std::optional<Time> limit, Time wait) override;
  Result<Outcome> undrain(const std::string& node) override;
  // That primary hands over: from now on it gets no new work, which waits; what is under way is waited for. Whether it
  // has ended within that time. Empty: nobody hands over. Any thread but the reactors'.
  bool let_leave(const std::string& node, Time wait);
  Result<Outcome> reconnect(const std::string& node, const std::string& database, Time wait) override;
  Outcome wait_close(const std::string& node, const std::string& database, Time wait) override;
  Result<Outcome> kill_client(const std::string& id) override;
  Outcome kill(const std::string& database) override;
  void finish() override;
  void end_waits() { waits_end_ = true; }  // pause() and the like return soon; for the end

  // For a process that takes over (any thread). The listening sockets stay this one's.
  std::vector<int> listeners() const;
  // Returns when no thread accepts any more, or all do again.
  void accept(bool yes);
  // What was ordered, for that process. From then on nobody else's orders are taken, which would be lost; with
  // keep_orders() they are again.
  OrdersPtr give_orders();
  void keep_orders();
  // The other process serves now: the sockets are closed here; sessions go on. There is no way back.
  void hand_over();
  // What was ordered of the other process since holds for these sessions, too.
  void obey(const Orders& orders);
  // What was ordered of the process that this one takes over from, holds here. As long as that one lives, which ends
  // with outlived(), nobody reads from replicas where causal_reads is global: what is written there is not seen here.
  void inherit(const Orders& orders);
  void outlived();
  // Who is told of the orders and of each new one: the process that this one took over from. Must not wait.
  void set_orders_elsewhere(std::function<void(const Orders&)> tell);
  // Serves a client that connected elsewhere.
  void adopt_client(os::UniqueFd client) { reactors_[0]->adopt_client(std::move(client)); }
  // Who takes cancel requests that mean no session of this process: another one's adopt_client(). Must not wait.
  void set_cancel_elsewhere(CancelRegistry::Elsewhere give) { cancels_.set_elsewhere(std::move(give)); }

 private:
  Proxy(Settings settings, TopologyPtr topology);
  Status listen(std::vector<os::UniqueFd> given);
  Result<std::vector<os::UniqueFd>> listeners_of(unsigned thread, unsigned threads, const net::Address& address,
                                                 std::vector<os::UniqueFd>& given) const;
  void set_accepting(Reactor::Accepting how);
  NumbersBoard::SurveyPtr numbers() const;  // of each thread
  template <class Row, class Collect>
  std::vector<Row> ask_all(Collect collect) const;
  template <class Change>
  void order(Change change);
  template <class Change>
  Status command(Change change);
  void change_orders(Orders next);                            // mutex_ is held
  void mark_drained(const TopologySnapshot& topology) const;  // mutex_ is held
  Status check_node(const std::string& name) const;
  Outcome taken(const std::string& node, const std::string& database, Time wait) const;
  void on_catalog(const std::string& database, const sql::CatalogPtr& catalog);

  const Settings settings_;
  const std::chrono::steady_clock::time_point started_ = std::chrono::steady_clock::now();
  // Makes the salts of users that there are not: the same on every balancer of the group, as a real user's are.
  const Secret mock_secret_;
  uint16_t port_ = 0;
  mutable std::mutex mutex_;
  TopologyPtr topology_;  // guarded by mutex_, like the next two
  OrdersPtr orders_ = std::make_shared<const Orders>();
  bool orders_are_given_ = false;  // guarded by mutex_, like the next one
  std::function<void(const Orders&)> orders_elsewhere_;
  PoolSettings pool_settings_;
  Counters counters_;
  mutable NumbersBoard board_;
  std::atomic<bool> handed_over_{false};
  std::atomic<bool> waits_end_{false};
  CancelRegistry cancels_;
  ParameterSets sets_;
  Quotas quotas_;
  Greetings greetings_;
  Reasons reasons_;
  AuthDirectory auth_;
  CurrentHba hba_;
  CurrentConsole console_;
  CatalogDirectory catalogs_;
  const Shared shared_;
  std::vector<std::unique_ptr<Reactor>> reactors_;
};

}  // namespace pgb::proxy
