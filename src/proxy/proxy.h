// The proxy: reactor threads that serve PostgreSQL clients from the group's servers.
#pragma once

#include <chrono>
#include <memory>
#include <mutex>
#include <vector>

#include "base/result.h"
#include "proxy/admin.h"
#include "proxy/auth_directory.h"
#include "proxy/cancel_registry.h"
#include "proxy/catalog_directory.h"
#include "proxy/counters.h"
#include "proxy/hba_rules.h"
#include "proxy/reactor.h"
#include "proxy/settings.h"

namespace pgb::proxy {

class Proxy final : public Admin {
 public:
  // Listens and begins to serve. kPortInUse, kConfig (address), kIo.
  static Result<std::unique_ptr<Proxy>> start(Settings settings, TopologyPtr topology);
  ~Proxy() override;

  // Tells all clients that the balancer shuts down, closes everything and waits for the threads.
  void stop();

  Stats stats() const override;
  TopologyPtr topology() const override;
  void apply(TopologyPtr snapshot) override;
  void set_pool(const PoolSettings& settings) override;
  // For logins to come; null: SCRAM-SHA-256 for everyone. Any thread.
  void set_hba(HbaRulesPtr rules) { hba_.set(std::move(rules)); }
  uint16_t port() const override { return port_; }

 private:
  Proxy(Settings settings, TopologyPtr topology);
  Status listen();
  void on_catalog(const std::string& database, const sql::CatalogPtr& catalog);

  const Settings settings_;
  const std::chrono::steady_clock::time_point started_ = std::chrono::steady_clock::now();
  // Makes the salts of users that there are not: the same on every balancer of the group, as a real user's are.
  const Secret mock_secret_;
  uint16_t port_ = 0;
  mutable std::mutex mutex_;
  TopologyPtr topology_;  // guarded by mutex_
  Counters counters_;
  CancelRegistry cancels_;
  ParameterSets sets_;
  Quotas quotas_;
  Greetings greetings_;
  AuthDirectory auth_;
  CurrentHba hba_;
  CatalogDirectory catalogs_;
  const Shared shared_;
  std::vector<std::unique_ptr<Reactor>> reactors_;
};

}  // namespace pgb::proxy
