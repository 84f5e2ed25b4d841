// The balancer as a process: its ports, its surfaces, its signals, from its first client to its last.
#pragma once

#include <memory>
#include <string>

#include "base/deadline.h"
#include "base/result.h"
#include "control/admin_console.h"
#include "control/balancer.h"
#include "control/group_roles.h"
#include "control/leader_watch.h"
#include "control/pcp_server.h"
#include "control/rest_api.h"
#include "control/takeover.h"
#include "dcs/embedded_store.h"
#include "http/server.h"
#include "os/signals.h"

namespace pgb::control {

class Service {
 public:
  struct Options {
    std::string program;     // where this program is, for a successor
    std::string config;      // path of the configuration
    bool take_over = false;  // from the process that runs, if there is one
  };
  // Opens the log. Its signals are handled here: call before other threads start.
  static Result<std::unique_ptr<Service>> create(Options options, BalancerConfig config);
  ~Service();
  Service(const Service&) = delete;
  Service& operator=(const Service&) = delete;

  // Opens the ports, or takes them over, gives up root, and serves from then on.
  Status start(proxy::Settings settings);
  // Until a signal or a command ends it, or the last client after another process took over.
  void serve();

 private:
  Service(Options options, BalancerConfig config, os::SignalFd signals);
  void make_surfaces();
  void make_rest_api(Secret token_key);
  Status serve_rest(os::UniqueFd listener);
  Status open_pcp();
  Result<Secret> take_over();
  Status offer_handover();
  Status open_store();
  Status open_etcd();
  void watch_leader(WatchedStore watched);
  Status or_go_on(Status opened, const char* what_is_missing) const;
  void spawn_successor();
  void reload();
  void shut_down();
  bool is_over() const;
  void go_on_without_sockets();
  bool on_signal(int signal);

  const Options options_;
  const BalancerConfig config_;
  os::SignalFd signals_;
  os::UniqueFd handed_over_;  // an eventfd
  bool succeeded_ = false;    // by a process to which the files belong now
  proxy::TlsKeeperPtr tls_;
  std::unique_ptr<Balancer> balancer_;
  std::shared_ptr<AdminConsole> console_;
  std::unique_ptr<GroupRoles> roles_;
  std::unique_ptr<Actions> actions_;
  std::unique_ptr<RestApi> api_;
  std::unique_ptr<PcpServer> pcp_;
  std::unique_ptr<http::Server> rest_;  // each ends before what it uses
  std::shared_ptr<dcs::EmbeddedStore> store_;
  std::shared_ptr<dcs::Dcs> etcd_;
  std::unique_ptr<LeaderWatch> leader_watch_;
  std::unique_ptr<Predecessor> predecessor_;
  std::unique_ptr<Handover> handover_;
  bool ending_ = false;             // over when the last client is gone
  bool transactions_only_ = false;  // sessions end with their transaction
  Deadline until_ = Deadline::never();
};

}  // namespace pgb::control
