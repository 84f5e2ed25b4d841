#include "proxy/proxy.h"

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <thread>

#include "net/socket.h"

namespace pgb::proxy {
namespace {

// A process that was killed is gone before its io_uring has let its sockets go.
Status wait_until_free(const net::Address& address) {
  constexpr std::chrono::milliseconds kLetGo{1000}, kLook{20};
  const Deadline deadline = Deadline::after(kLetGo);
  Status free = net::check_port_free(address);
  for (; !free.ok() && !deadline.expired(); free = net::check_port_free(address)) std::this_thread::sleep_for(kLook);
  return free;
}

}  // namespace

Proxy::Proxy(Settings settings, TopologyPtr topology)
    : settings_(std::move(settings)),
      mock_secret_(settings_.auth_password.empty() ? Secret::random(32) : settings_.auth_password),
      topology_(topology),
      pool_settings_(settings_.pool),
      auth_(settings_, mock_secret_, topology),
      hba_(settings_.hba),
      catalogs_(
          settings_, topology, [this](const std::string& database) { return counters_.has_clients(database); },
          [this](const std::string& database, const sql::CatalogPtr& catalog) { on_catalog(database, catalog); }),
      shared_{settings_,
              counters_,
              cancels_,
              auth_,
              hba_,
              console_,
              mock_secret_,
              sets_,
              quotas_,
              greetings_,
              reasons_,
              &catalogs_,
              [this](unsigned reactor, std::function<void(ReactorContext&)> action) {
                reactors_[reactor]->run(std::move(action));
              }} {
  counters_.max_clients = settings_.pool.max_clients;
}

Proxy::~Proxy() { stop(); }

Result<std::unique_ptr<Proxy>> Proxy::start(Settings settings, TopologyPtr topology,
                                            std::vector<os::UniqueFd> listeners) {
  std::unique_ptr<Proxy> proxy(new Proxy(std::move(settings), std::move(topology)));
  const bool at_once = listeners.empty();
  PGB_TRY(proxy->listen(std::move(listeners)));
  for (const auto& reactor : proxy->reactors_) reactor->start(at_once);
  return proxy;
}

Status Proxy::listen(std::vector<os::UniqueFd> given) {
  auto address = net::Address::parse(settings_.listen_address, settings_.port);
  if (!address) return std::move(address).error();
  if (!given.empty()) {
    *address = net::Address::local_of(given[0].get());
  } else if (settings_.port != 0) {
    PGB_TRY(wait_until_free(*address));
  }
  const unsigned cores = std::max(1u, std::thread::hardware_concurrency());
  // Half the cores: a transaction costs the servers more than us, and a thread with more to do at a time costs less.
  const unsigned wanted = settings_.threads == 0 ? std::max(1u, cores / 2) : settings_.threads;
  const unsigned threads = std::min(wanted, kMaxReactors);
  quotas_.set_reactors(threads);
  for (unsigned i = 0; i < threads; ++i) {
    auto listeners = listeners_of(i, threads, *address, given);
    if (!listeners) return std::move(listeners).error();
    if (i == 0) *address = net::Address::local_of((*listeners)[0].get());
    auto reactor = Reactor::create(i, std::move(*listeners), shared_, topology());
    if (!reactor) return std::move(reactor).error();
    reactors_.push_back(std::move(*reactor));
  }
  port_ = address->port();
  return Status();
}

// One of its own. Of those that were handed over every one has to be served, whatever the number of threads: clients
// may wait there.
Result<std::vector<os::UniqueFd>> Proxy::listeners_of(unsigned thread, unsigned threads, const net::Address& address,
                                                      std::vector<os::UniqueFd>& given) const {
  std::vector<os::UniqueFd> mine;
  for (size_t i = thread; i < given.size(); i += threads) mine.push_back(std::move(given[i]));
  if (!mine.empty()) return mine;
  auto listener = net::listen_on(address);
  if (!listener) return std::move(listener).error();
  mine.push_back(std::move(*listener));
  return mine;
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
    mark_drained(*snapshot);
  }
  auth_.apply(snapshot);
  catalogs_.apply(snapshot);
  for (const auto& reactor : reactors_) reactor->apply(snapshot);
}

void Proxy::set_pool(const PoolSettings& settings) {
  counters_.max_clients = settings.max_clients;
  {
    const std::lock_guard lock(mutex_);
    pool_settings_ = settings;
  }
  for (const auto& reactor : reactors_) reactor->set_pool(settings);
}

PoolSettings Proxy::pool_settings() const {
  const std::lock_guard lock(mutex_);
  return pool_settings_;
}

Stats Proxy::stats() const {
  Stats stats;
  stats.uptime_s = std::chrono::duration<double>(std::chrono::steady_clock::now() - started_).count();
  stats.connections = counters_.connections;
  stats.clients = counters_.clients;
  stats.max_clients = counters_.max_clients;
  stats.threads = reactors_.size();
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

Result<UserSecret> Proxy::secret_of(const std::string& user, Time wait) {
  struct Waiting {
    std::mutex mutex;
    std::condition_variable came;
    std::optional<Result<UserSecret>> answer;
  };
  const auto waiting = std::make_shared<Waiting>();  // outlives this call if the answer comes too late
  auto tell = [waiting](AuthDirectory::Answer answer) {
    const std::lock_guard lock(waiting->mutex);
    waiting->answer = std::move(answer);
    waiting->came.notify_all();
  };
  auth_.look_up(user, Deadline::after(wait), std::move(tell), AuthDirectory::Unasked::kRemembered);
  std::unique_lock lock(waiting->mutex);
  constexpr std::chrono::seconds kTooLate{1};
  waiting->came.wait_for(lock, wait + kTooLate, [&] { return waiting->answer.has_value(); });
  if (!waiting->answer) return Error(Code::kNotReady, "the balancer ends");
  return std::move(*waiting->answer);
}

}  // namespace pgb::proxy
