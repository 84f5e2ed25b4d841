// The catalogues of the databases in use, asked from a live server on a thread of its own, again every half minute
// and soon after DDL was seen; where one follows the other, when they pause or once a second: to ask is work for the
// server, and its VACUUM cannot clean up behind us meanwhile. What nobody has used for ten minutes, or what could not
// be read for one, is forgotten until somebody wants it again. Thread-safe.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "proxy/settings.h"
#include "proxy/topology_snapshot.h"
#include "sql/catalog.h"

namespace pgb::proxy {

struct CatalogTimes {
  std::chrono::milliseconds again{30'000};
  std::chrono::milliseconds after_failure{2'000};
  unsigned most_failures = 30;  // in a row: then nothing that was known holds any more
  std::chrono::milliseconds unused{600'000};
};

class CatalogDirectory {
 public:
  // Called with a new one on the directory's thread, with null there when it is forgotten (who still uses it wants it
  // again), with an unread one from inside stale(); not any more once stop() has returned. Must not call back.
  using OnCatalog = std::function<void(const std::string& database, sql::CatalogPtr catalog)>;
  // Whether it has sessions; called on the directory's thread.
  using IsUsed = std::function<bool(const std::string& database)>;

  CatalogDirectory(const Settings& settings, TopologyPtr topology, IsUsed is_used, OnCatalog on_catalog,
                   CatalogTimes times = {});
  ~CatalogDirectory();
  CatalogDirectory(const CatalogDirectory&) = delete;
  CatalogDirectory& operator=(const CatalogDirectory&) = delete;

  void want(const std::string& database);  // from now on
  // Something in it was changed, and is committed; `new_code`: functions in C were made. Gives what holds until it was
  // read again.
  sql::CatalogPtr stale(const std::string& database, const std::vector<std::string>& new_code);
  void apply(TopologyPtr topology);
  void stop();

 private:
  using Time = std::chrono::steady_clock::time_point;
  struct Database {
    Time due;
    Time used;          // when somebody was last seen there
    Time changed;       // when it was last
    Time unread_since;  // the first change that it was not asked for yet; the epoch: none
    uint64_t changes = 0;
    unsigned failures = 0;  // in a row
    std::set<std::string> new_code;
    sql::CatalogPtr known;  // what was read last
  };

  void run();
  void forget(const std::string& name);
  void take(const std::string& name, uint64_t changes, const sql::CatalogPtr& catalog);
  sql::CatalogPtr ask(const std::string& database, const TopologySnapshot& topology);

  const Settings& settings_;
  const IsUsed is_used_;
  const OnCatalog on_catalog_;
  const CatalogTimes times_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopped_ = false;  // guarded by mutex_, like all up to databases_
  TopologyPtr topology_;
  std::map<std::string, Database> databases_;
  std::atomic<uint64_t> version_{0};
  std::thread thread_;
};

}  // namespace pgb::proxy
