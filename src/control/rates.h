// How much happened between two looks at the proxy's numbers.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "proxy/admin.h"

namespace pgb::control {

// So many of a hundred requests took no longer. Between the bounds of a class it is taken to be evenly filled.
struct Percentiles {
  double p50_ms = 0, p95_ms = 0, p99_ms = 0;
};
// Nothing if there was no request.
std::optional<Percentiles> percentiles_of(const proxy::Latency& latency);

using PoolKey = std::pair<std::string, std::string>;  // database, user

struct Look {
  std::chrono::steady_clock::time_point at{};  // when the proxy was asked for the numbers
  proxy::Traffic traffic;                      // of all databases
  std::map<PoolKey, uint64_t> requests;
  struct Node {
    uint64_t requests = 0;
    uint64_t reads = 0;  // of these: they could have gone to any replica that is up to date
    proxy::Latency latency;
  };
  std::map<std::string, Node> nodes;
};

Look look_at(const proxy::Counted& counted);

struct Rates {
  double seconds = 0;                                // over which; 0: nothing is known yet
  double transactions = 0, requests = 0, reads = 0;  // a second
  double bytes_from_clients = 0, bytes_to_clients = 0;
  std::optional<Percentiles> latency;
  std::map<PoolKey, double> pools;  // requests
  struct Node {
    double requests = 0, reads = 0;
    double read_share = 0;  // of all reads: those of all nodes add up to 1, or to 0 if there were none
    std::optional<Percentiles> latency;
  };
  std::map<std::string, Node> nodes;
};

// What went to others meanwhile did not happen: a number that goes back counts as no growth.
Rates rates_between(const Look& from, const Look& to);

}  // namespace pgb::control
