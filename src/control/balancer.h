// The running balancer: the proxy, who tells it about the servers, and the file that both were made from.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "control/balancer_config.h"
#include "control/node_names.h"
#include "proxy/health.h"
#include "proxy/proxy.h"

namespace pgb::control {

// What the file means for the proxy, certificates loaded. kConfig says which file cannot be used.
Result<proxy::Settings> proxy_settings(const BalancerConfig& config);

// Says in the log which rules are right but can never hold: a restart with other keys would change that, so they are
// no mistakes.
void warn_of_idle_rules(const BalancerConfig& config);

class Balancer {
 public:
  // Serves, and begins to ask the nodes. `path`: the file of `config`. Errors are those of Proxy::start().
  static Result<std::unique_ptr<Balancer>> start(std::string path, const BalancerConfig& config,
                                                 proxy::Settings settings, std::vector<os::UniqueFd> listeners);
  ~Balancer();  // all sessions end

  proxy::Proxy& proxy() { return *proxy_; }

  // Reads the file again: the limits, the nodes, the rules for logins and, for new connections, the certificates change
  // at once; what concerns sockets and passwords needs a restart. After an error everything is as it was. Any thread.
  Status reload();
  // What is in force. Any thread; does not wait for a reload.
  ConfigPtr config() const;

  // As the lease store says, see HealthMonitor::set_leader(). Any thread.
  void set_leader(std::optional<proxy::Leader> leader);
  // See Proxy::let_leave().
  bool let_leave(const std::string& node);

 private:
  Balancer(std::string path, BalancerConfig config, proxy::TlsKeeperPtr tls, proxy::ProbeBellPtr bell,
           std::unique_ptr<proxy::Proxy> proxy);
  void look_up(const BalancerConfig& config);
  void start_monitor();
  void on_move();
  void publish();

  const std::string path_;
  std::mutex reload_mutex_;  // held by a reload, for seconds
  std::mutex mutex_;
  BalancerConfig config_;  // guarded by mutex_, like the next one
  std::optional<proxy::Leader> leader_;
  mutable std::mutex in_force_mutex_;
  ConfigPtr in_force_;  // the same, guarded by in_force_mutex_ and by nothing that waits
  const proxy::TlsKeeperPtr tls_;
  const proxy::ProbeBellPtr bell_;
  std::unique_ptr<proxy::Proxy> proxy_;
  std::unique_ptr<proxy::HealthMonitor> monitor_;
  std::unique_ptr<NodeNames> names_;
};

}  // namespace pgb::control
