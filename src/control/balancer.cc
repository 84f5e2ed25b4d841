#include "control/balancer.h"

#include <utility>

#include "base/log.h"
#include "control/load_tls.h"

namespace pgb::control {
namespace {
constexpr std::chrono::milliseconds kUnderWay{400};      // for what is under way when a primary hands over
constexpr std::chrono::milliseconds kLookAgain{10'000};  // where the hosts of nodes are that have a name
}  // namespace

Result<proxy::Settings> proxy_settings(const BalancerConfig& config) {
  proxy::Settings settings;
  settings.group = config.group;
  settings.listen_address = config.listen_address;
  settings.port = config.port;
  settings.threads = config.pool.threads;
  settings.batch_scheduling = config.pool.scheduling == "batch";
  settings.io_uring = config.pool.io_uring == "auto";
  settings.pool = config.pool_settings();
  settings.auth_user = config.auth_user;
  settings.auth_query = config.auth_query;
  for (const User& user : config.users) settings.users.emplace(user.name, user.secret);
  settings.auth_password = config.auth_password;
  settings.hba = config.hba;
  auto tls = load_tls(config);
  if (!tls) return std::move(tls).error();
  settings.tls = std::make_shared<proxy::TlsKeeper>(std::move(*tls));
  return settings;
}

void warn_of_idle_rules(const BalancerConfig& config) {
  const bool tls = !config.tls_cert_file.empty() && config.tls_mode != "disable";
  if (tls || !config.hba || !config.hba->speaks_of_tls()) return;
  log::warn("no hostssl rule of " + config.hba_file + " will ever hold: clients get no TLS; set tls_cert_file");
}

Result<std::unique_ptr<Balancer>> Balancer::start(std::string path, const BalancerConfig& config,
                                                  proxy::Settings settings, std::vector<os::UniqueFd> listeners) {
  const proxy::TlsKeeperPtr tls = settings.tls;
  const proxy::ProbeBellPtr bell = settings.bell;
  auto proxy = proxy::Proxy::start(std::move(settings), std::make_shared<proxy::TopologySnapshot>(config.topology()),
                                   std::move(listeners));
  if (!proxy) return std::move(proxy).error();
  return std::unique_ptr<Balancer>(new Balancer(std::move(path), config, tls, bell, std::move(*proxy)));
}

Balancer::Balancer(std::string path, BalancerConfig config, proxy::TlsKeeperPtr tls, proxy::ProbeBellPtr bell,
                   std::unique_ptr<proxy::Proxy> proxy)
    : path_(std::move(path)),
      config_(std::move(config)),
      tls_(std::move(tls)),
      bell_(std::move(bell)),
      proxy_(std::move(proxy)) {
  publish();
  const std::lock_guard lock(mutex_);
  names_ = std::make_unique<NodeNames>(kLookAgain, addresses_of_host, [this] { on_move(); });
  look_up(config_);
  start_monitor();
}

Balancer::~Balancer() {
  names_->stop();
  proxy_->stop();
  monitor_.reset();
}

Status Balancer::reload() {
  const std::lock_guard order(reload_mutex_);
  auto fresh = load_balancer_config(path_);
  if (!fresh) return std::move(fresh).error();
  auto tls = load_tls(*fresh);
  if (!tls) return std::move(tls).error();
  look_up(*fresh);
  const std::lock_guard lock(mutex_);
  tls_->set(std::move(*tls));
  proxy_->set_pool(fresh->pool_settings());
  proxy_->set_hba(fresh->hba);
  warn_of_idle_rules(*fresh);
  const bool nodes_changed = fresh->nodes != config_.nodes;
  config_.pool = fresh->pool;
  config_.read_write_split = fresh->read_write_split;
  config_.admin_users = fresh->admin_users;
  config_.stats_users = fresh->stats_users;
  config_.pcp_users = fresh->pcp_users;
  config_.nodes = fresh->nodes;
  publish();
  if (nodes_changed) start_monitor();
  log::info(nodes_changed ? "configuration read again: the nodes have changed" : "configuration read again");
  return Status();
}

ConfigPtr Balancer::config() const {
  const std::lock_guard lock(in_force_mutex_);
  return in_force_;
}

void Balancer::publish() {
  auto now = std::make_shared<const BalancerConfig>(config_);
  const std::lock_guard lock(in_force_mutex_);
  in_force_ = std::move(now);
}

void Balancer::look_up(const BalancerConfig& config) {
  std::vector<std::string> hosts;
  for (const BalancerConfig::Node& node : config.nodes) hosts.push_back(node.host);
  names_->set(std::move(hosts));
}

void Balancer::on_move() {
  const std::lock_guard lock(mutex_);
  start_monitor();
}

void Balancer::start_monitor() {
  monitor_.reset();
  proxy::HealthSettings settings;
  settings.user = config_.auth_user;
  settings.password = config_.auth_password;
  settings.tls = tls_;
  settings.bell = bell_;
  proxy::TopologySnapshot first = config_.topology();
  const proxy::TopologyPtr now = proxy_->topology();
  first.version = now->version + 1;
  for (proxy::NodeView& node : first.nodes) node.host = names_->address(node.host);
  for (proxy::NodeView& node : first.nodes) {  // what is known about a node that stays is not forgotten
    const proxy::NodeView* known = now->find(node.name);
    if (known == nullptr || known->address() != node.address()) continue;
    const proxy::NodeView fresh = std::exchange(node, *known);
    node.weight = fresh.weight;
    node.tls_host = fresh.tls_host;
  }
  auto snapshot = std::make_shared<const proxy::TopologySnapshot>(std::move(first));
  proxy_->apply(snapshot);
  monitor_ = std::make_unique<proxy::HealthMonitor>(
      std::move(settings), snapshot, [this](proxy::TopologyPtr changed) { proxy_->apply(std::move(changed)); });
  monitor_->set_leader(leader_);
}

bool Balancer::let_leave(const std::string& node) { return proxy_->let_leave(node, kUnderWay); }

void Balancer::set_leader(std::optional<proxy::Leader> leader) {
  const std::lock_guard lock(mutex_);
  leader_ = std::move(leader);
  monitor_->set_leader(leader_);
}

}  // namespace pgb::control
