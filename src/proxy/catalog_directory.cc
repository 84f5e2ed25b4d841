#include "proxy/catalog_directory.h"

#include "base/log.h"
#include "pgclient/connection.h"

namespace pgb::proxy {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::chrono::seconds kAgain{30};
constexpr std::chrono::seconds kAfterFailure{2};
constexpr std::chrono::milliseconds kAfterChange{20};  // DDL comes in flocks
constexpr std::chrono::seconds kPatience{10};
constexpr unsigned kMostFailures = 30;

}  // namespace

CatalogDirectory::CatalogDirectory(const Settings& settings, TopologyPtr topology, OnCatalog on_catalog)
    : settings_(settings), on_catalog_(std::move(on_catalog)), topology_(std::move(topology)) {
  thread_ = std::thread([this] { run(); });
}

CatalogDirectory::~CatalogDirectory() { stop(); }

void CatalogDirectory::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void CatalogDirectory::want(const std::string& database) {
  const std::lock_guard lock(mutex_);
  if (due_.emplace(database, Clock::now()).second) changed_.notify_all();
}

sql::CatalogPtr CatalogDirectory::stale(const std::string& database, const std::vector<std::string>& new_code) {
  sql::CatalogPtr meanwhile;
  {
    const std::lock_guard lock(mutex_);
    due_[database] = Clock::now() + kAfterChange;
    ++changes_;
    if (!new_code.empty()) new_code_[database].insert(new_code.begin(), new_code.end());
    meanwhile = sql::Catalog::unread(known_[database].get(), new_code_[database], ++version_);
  }
  on_catalog_(database, meanwhile);
  changed_.notify_all();
  return meanwhile;
}

void CatalogDirectory::apply(TopologyPtr topology) {
  const std::lock_guard lock(mutex_);
  topology_ = std::move(topology);
  for (auto& [database, due] : due_) due = std::min(due, Clock::now() + kAfterFailure);
  changed_.notify_all();
}

void CatalogDirectory::run() {
  std::unique_lock lock(mutex_);
  while (!stopped_) {
    auto next = due_.end();
    for (auto it = due_.begin(); it != due_.end(); ++it) {
      if (next == due_.end() || it->second < next->second) next = it;
    }
    if (next == due_.end()) {
      changed_.wait(lock);
      continue;
    }
    if (next->second > Clock::now()) {
      changed_.wait_until(lock, next->second);
      continue;
    }
    const std::string database = next->first;
    next->second = Clock::now() + kAgain;
    const TopologyPtr topology = topology_;
    const uint64_t changes = changes_;
    lock.unlock();
    sql::CatalogPtr catalog = ask(database, *topology);
    lock.lock();
    if (changes != changes_) continue;  // it may be out of date already, and is asked for again
    if (catalog) on_catalog_(database, catalog);
    if (catalog) {
      known_[database] = catalog;
      new_code_.erase(database);
      failures_.erase(database);
    } else if (++failures_[database] > kMostFailures) {  // dropped, or not for us: who comes back wants it anew
      failures_.erase(database);
      known_.erase(database);
      due_.erase(database);
    } else {
      due_[database] = Clock::now() + kAfterFailure;
    }
  }
}

// The primary knows best; while there is none, a replica's will do.
sql::CatalogPtr CatalogDirectory::ask(const std::string& database, const TopologySnapshot& topology) {
  const NodeView* node = topology.anybody();
  if (node == nullptr) return nullptr;
  pgclient::ConnInfo info;
  info.host = node->host;
  info.port = node->port;
  info.user = settings_.auth_user;
  info.password = settings_.auth_password;
  info.database = database;
  info.application_name = "pgbalancer catalogue";
  info.tls = settings_.tls->get().to_servers;
  info.tls_host = node->tls_host;
  const Deadline deadline = Deadline::after(kPatience);
  auto connection = pgclient::Connection::open(info, deadline);
  if (!connection) {
    log::debug("the catalogue of " + database + " cannot be read: " + connection.error().message);
    return nullptr;
  }
  auto results = (*connection)->query(sql::Catalog::query(), deadline);
  if (!results || results->empty()) {
    log::warn("the catalogue of database " + database +
              " cannot be read, its reads go to the primary: " + (results ? "no rows" : results.error().message));
    return nullptr;
  }
  return sql::Catalog::from_rows(results->front().rows, ++version_);
}

}  // namespace pgb::proxy
