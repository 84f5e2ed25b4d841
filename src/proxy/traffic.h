// What is counted of the work of a pool and of the answers of a node: plain numbers of one thread, which also hands
// them out when it is asked.
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>

namespace pgb::proxy {

inline uint64_t microseconds(std::chrono::nanoseconds time) {
  return static_cast<uint64_t>(std::max<int64_t>(time.count() / 1000, 0));
}

// How long something took, in classes.
struct Latency {
  // Upper bounds of the classes in microseconds; the last class has none.
  static constexpr std::array<uint32_t, 16> kBounds = {100,       250,       500,       1'000,     2'500,   5'000,
                                                       10'000,    25'000,    50'000,    100'000,   250'000, 500'000,
                                                       1'000'000, 2'500'000, 5'000'000, 10'000'000};
  std::array<uint64_t, kBounds.size() + 1> counts = {};
  uint64_t sum_us = 0;

  void note(uint64_t us) {
    const auto* bound = std::find_if(kBounds.begin(), kBounds.end(), [us](uint32_t most) { return us <= most; });
    ++counts[static_cast<size_t>(bound - kBounds.begin())];
    sum_us += us;
  }
  Latency& operator+=(const Latency& other) {
    for (size_t i = 0; i < counts.size(); ++i) counts[i] += other.counts[i];
    sum_us += other.sum_us;
    return *this;
  }
};

struct Traffic {
  uint64_t logins = 0;
  uint64_t assignments = 0;         // servers given to clients
  uint64_t transactions = 0;        // servers given back
  uint64_t requests = 0;            // answered up to ReadyForQuery
  uint64_t bytes_from_clients = 0;  // messages of sessions that are logged in
  uint64_t bytes_to_clients = 0;    // what servers said
  uint64_t transaction_us = 0;      // servers were away for
  uint64_t request_us = 0;          // servers worked for
  uint64_t wait_us = 0;             // clients waited for servers; counted when the server comes
  uint64_t client_parses = 0;       // prepared statements that clients made
  uint64_t server_parses = 0;       // those that were made on servers for it
  uint64_t binds = 0;
  Latency latency;  // of requests: from their last byte to ReadyForQuery, waiting included

  Traffic& operator+=(const Traffic& other) {
    logins += other.logins;
    assignments += other.assignments;
    transactions += other.transactions;
    requests += other.requests;
    bytes_from_clients += other.bytes_from_clients;
    bytes_to_clients += other.bytes_to_clients;
    transaction_us += other.transaction_us;
    request_us += other.request_us;
    wait_us += other.wait_us;
    client_parses += other.client_parses;
    server_parses += other.server_parses;
    binds += other.binds;
    latency += other.latency;
    return *this;
  }
};

}  // namespace pgb::proxy
