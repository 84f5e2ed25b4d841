// The addresses of nodes that are given by name, looked up again and again: who moves is found at the new address.
// Thread-safe.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace pgb::control {

// What the system says, by getent(1): /etc/hosts, DNS, and whatever else nsswitch.conf(5) names; the first of several
// addresses. Empty: nothing, or not within three seconds.
std::string address_of_host(const std::string& name);

class NodeNames {
 public:
  using Lookup = std::function<std::string(const std::string& name)>;
  // On a thread of ours, when an address is another one than before, or known for the first time.
  using OnMove = std::function<void()>;

  NodeNames(std::chrono::milliseconds interval, Lookup lookup, OnMove on_move);
  ~NodeNames();  // waits for a lookup, and for what on_move() does
  NodeNames(const NodeNames&) = delete;
  NodeNames& operator=(const NodeNames&) = delete;

  // From now on these. Those that are not known yet are looked up before it returns; IP addresses are left alone.
  void set(std::vector<std::string> names);
  // The address of a name as it was last found, a name that was never found as it is.
  std::string address(const std::string& name) const;

 private:
  void run();
  bool look_up(const std::string& name);

  const std::chrono::milliseconds interval_;
  const Lookup lookup_;
  const OnMove on_move_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  bool stopped_ = false;                      // guarded by mutex_, like the next two
  std::vector<std::string> names_;            // no IP addresses
  std::map<std::string, std::string> found_;  // name to address
  std::thread thread_;                        // last: it uses the others
};

}  // namespace pgb::control
