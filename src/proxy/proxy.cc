#include "proxy/proxy.h"

#include <algorithm>
#include <thread>

#include "net/socket.h"

namespace pgb::proxy {

Proxy::Proxy(Settings settings, TopologyPtr topology)
    : settings_(std::move(settings)),
      mock_secret_(settings_.auth_password.empty() ? Secret::random(32) : settings_.auth_password),
      topology_(topology),
      auth_(settings_, mock_secret_, topology),
      hba_(settings_.hba),
      catalogs_(settings_, topology,
                [this](const std::string& database, const sql::CatalogPtr& catalog) { on_catalog(database, catalog); }),
      shared_{settings_,
              counters_,
              cancels_,
              auth_,
              hba_,
              mock_secret_,
              sets_,
              quotas_,
              greetings_,
              &catalogs_,
              [this](unsigned reactor, std::function<void(ReactorContext&)> action) {
                reactors_[reactor]->run(std::move(action));
              }} {
  counters_.max_clients = settings_.pool.max_clients;
}

Proxy::~Proxy() { stop(); }

Result<std::unique_ptr<Proxy>> Proxy::start(Settings settings, TopologyPtr topology) {
  std::unique_ptr<Proxy> proxy(new Proxy(std::move(settings), std::move(topology)));
  PGB_TRY(proxy->listen());
  for (const auto& reactor : proxy->reactors_) reactor->start();
  return proxy;
}

Status Proxy::listen() {
  auto address = net::Address::parse(settings_.listen_address, settings_.port);
  if (!address) return std::move(address).error();
  if (settings_.port != 0) PGB_TRY(net::check_port_free(*address));
  const unsigned cores = std::max(1u, std::thread::hardware_concurrency());
  // Half the cores: a transaction costs the servers more than us, and a thread with more to do at a time costs less.
  const unsigned wanted = settings_.threads == 0 ? std::max(1u, cores / 2) : settings_.threads;
  const unsigned threads = std::min(wanted, kMaxReactors);
  for (unsigned i = 0; i < threads; ++i) {
    auto listener = net::listen_on(*address);
    if (!listener) return std::move(listener).error();
    if (i == 0) *address = net::Address::local_of(listener->get());
    auto reactor = Reactor::create(i, std::move(*listener), shared_, topology());
    if (!reactor) return std::move(reactor).error();
    reactors_.push_back(std::move(*reactor));
  }
  port_ = address->port();
  return Status();
}

void Proxy::on_catalog(const std::string& database, const sql::CatalogPtr& catalog) {
  for (const auto& reactor : reactors_) {
    reactor->run([database, catalog](ReactorContext& context) { context.router->set_catalog(database, catalog); });
  }
}

void Proxy::stop() {
  catalogs_.stop();
  auth_.stop();  // first: its answers reach into the reactors
  for (const auto& reactor : reactors_) reactor->stop();
}

TopologyPtr Proxy::topology() const {
  const std::lock_guard lock(mutex_);
  return topology_;
}

void Proxy::apply(TopologyPtr snapshot) {
  {
    const std::lock_guard lock(mutex_);
    topology_ = snapshot;
  }
  auth_.apply(snapshot);
  catalogs_.apply(snapshot);
  for (const auto& reactor : reactors_) reactor->apply(snapshot);
}

void Proxy::set_pool(const PoolSettings& settings) {
  counters_.max_clients = settings.max_clients;
  for (const auto& reactor : reactors_) reactor->set_pool(settings);
}

Stats Proxy::stats() const {
  Stats stats;
  stats.uptime_s = std::chrono::duration<double>(std::chrono::steady_clock::now() - started_).count();
  stats.clients = counters_.clients;
  stats.max_clients = counters_.max_clients;
  stats.servers = counters_.servers;
  stats.sessions_total = counters_.sessions_total;
  stats.refused_total = counters_.refused_total;
  for (const auto& reactor : reactors_) {
    const ReactorStats& own = reactor->stats();
    stats.bytes_from_clients += own.bytes_from_clients;
    stats.bytes_from_servers += own.bytes_from_servers;
    stats.transactions += own.transactions;
    stats.to_primary += own.to_primary;
    stats.to_replicas += own.to_replicas;
    stats.waits += own.waits;
    stats.pins += own.pins;
    stats.server_parses += own.server_parses;
  }
  stats.nodes = counters_.nodes();
  return stats;
}

}  // namespace pgb::proxy
