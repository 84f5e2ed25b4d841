// What happened in the last full period, by database: behind PgBouncer's averages.
#pragma once

#include <chrono>
#include <condition_variable>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "proxy/admin.h"

namespace pgb::control {

using TrafficByDatabase = std::map<std::string, proxy::Traffic>;
TrafficByDatabase by_database(const std::vector<proxy::TrafficRow>& rows);

class StatsPeriod {
 public:
  // Looks at the proxy, which must live longer, at the end of each period.
  explicit StatsPeriod(const proxy::Admin& proxy, std::chrono::milliseconds period = std::chrono::seconds(60));
  ~StatsPeriod();

  struct Span {
    double seconds = 0;
    TrafficByDatabase from, to;
  };
  // The last full period; before the first one has ended, the time since the beginning.
  Span last() const;

 private:
  struct Look {
    std::chrono::steady_clock::time_point at = std::chrono::steady_clock::now();
    TrafficByDatabase traffic;
  };
  void run();

  const proxy::Admin& proxy_;
  const std::chrono::milliseconds period_;
  mutable std::mutex mutex_;
  std::condition_variable stop_;
  bool stopped_ = false;  // guarded by mutex_, like the next two
  Look older_, newer_;
  bool full_ = false;
  std::thread thread_;
};

}  // namespace pgb::control
