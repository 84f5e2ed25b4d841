// Does one thing for each item at the same time, on a thread each.
#pragma once

#include <functional>
#include <thread>
#include <vector>

namespace pgb::cluster {

// Calls work(0) … work(count-1), each on a thread of its own; returns when all have.
inline void in_parallel(size_t count, const std::function<void(size_t)>& work) {
  std::vector<std::thread> threads;
  threads.reserve(count);
  for (size_t i = 0; i < count; ++i) threads.emplace_back([&work, i] { work(i); });
  for (std::thread& thread : threads) thread.join();
}

}  // namespace pgb::cluster
