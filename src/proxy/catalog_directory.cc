#include "proxy/catalog_directory.h"

#include <algorithm>

#include "base/log.h"
#include "pgclient/connection.h"

namespace pgb::proxy {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::chrono::milliseconds kAfterChange{20};
constexpr std::chrono::milliseconds kInFlock{250};  // it comes with others
constexpr std::chrono::seconds kFlock{1};
constexpr std::chrono::seconds kLongest{1};
constexpr std::chrono::seconds kPatience{10};

}  // namespace

CatalogDirectory::CatalogDirectory(const Settings& settings, TopologyPtr topology, IsUsed is_used, OnCatalog on_catalog,
                                   CatalogTimes times)
    : settings_(settings),
      is_used_(std::move(is_used)),
      on_catalog_(std::move(on_catalog)),
      times_(times),
      topology_(std::move(topology)) {
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
  const auto [found, is_new] = databases_.try_emplace(database);
  if (!is_new) return;
  found->second.due = found->second.used = Clock::now();
  changed_.notify_all();
}

sql::CatalogPtr CatalogDirectory::stale(const std::string& database, const std::vector<std::string>& new_code) {
  sql::CatalogPtr meanwhile;
  {
    const std::lock_guard lock(mutex_);
    Database& known = databases_[database];
    const Time now = known.used = Clock::now();
    const bool flock = now - known.changed < kFlock;
    if (known.unread_since == Time()) known.unread_since = now;
    known.changed = now;
    known.due = flock ? std::min(now + kInFlock, known.unread_since + kLongest) : now + kAfterChange;
    ++known.changes;
    known.new_code.insert(new_code.begin(), new_code.end());
    meanwhile = sql::Catalog::unread(known.known, known.new_code, ++version_);
  }
  on_catalog_(database, meanwhile);
  changed_.notify_all();
  return meanwhile;
}

void CatalogDirectory::apply(TopologyPtr topology) {
  const std::lock_guard lock(mutex_);
  topology_ = std::move(topology);
  for (auto& [name, database] : databases_) database.due = std::min(database.due, Clock::now() + times_.after_failure);
  changed_.notify_all();
}

void CatalogDirectory::run() {
  std::unique_lock lock(mutex_);
  while (!stopped_) {
    const auto next = std::min_element(databases_.begin(), databases_.end(),
                                       [](const auto& a, const auto& b) { return a.second.due < b.second.due; });
    if (next == databases_.end()) {
      changed_.wait(lock);
      continue;
    }
    const std::string name = next->first;
    Database& database = next->second;
    if (database.due > Clock::now()) {
      changed_.wait_until(lock, Time(database.due));
      continue;
    }
    if (is_used_(name)) database.used = Clock::now();
    if (Clock::now() - database.used > times_.unused) {
      forget(name);
      continue;
    }
    database.due = Clock::now() + times_.again;
    database.unread_since = Time();
    const TopologyPtr topology = topology_;
    const uint64_t changes = database.changes;
    lock.unlock();
    const sql::CatalogPtr catalog = ask(name, *topology);
    lock.lock();
    take(name, changes, catalog);
  }
}

void CatalogDirectory::take(const std::string& name, uint64_t changes, const sql::CatalogPtr& catalog) {
  Database& database = databases_.at(name);
  if (changes != database.changes) return;  // it may be out of date already, and is asked for again
  if (catalog) {
    on_catalog_(name, catalog);
    database.known = catalog;
    database.new_code.clear();
    database.failures = 0;
  } else if (++database.failures > times_.most_failures) {
    // Dropped, or not for us; whoever is still there wants it anew.
    log::warn("the catalogue of database " + name + " could not be read time after time: its reads go to the primary");
    forget(name);
  } else {
    database.due = Clock::now() + times_.after_failure;
  }
}

void CatalogDirectory::forget(const std::string& name) {
  databases_.erase(name);
  on_catalog_(name, nullptr);
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
  // It would take longer to compile the query than to run it.
  auto results = (*connection)->query("SET jit = off", deadline);
  if (results) results = (*connection)->query(sql::Catalog::query(), deadline);
  if (!results || results->empty()) {
    log::warn("the catalogue of database " + database + " cannot be read, what was known holds on for a while: " +
              (results ? "no rows" : results.error().message));
    return nullptr;
  }
  return sql::Catalog::from_rows(results->front().rows, ++version_);
}

}  // namespace pgb::proxy
