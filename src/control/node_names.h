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

// What the system says, by getent(1): /etc/hosts, DNS, and whatever else nsswitch.conf(5) names. Empty: nothing, or not
// within three seconds.
std::vector<std::string> addresses_of_host(const std::string& name);

class NodeNames {
 public:
  using Lookup = std::function<std::vector<std::string>(const std::string& name)>;
  // On a thread of ours, when a name is known for the first time, or the address that it had is none of its any more.
  using OnMove = std::function<void()>;

  NodeNames(std::chrono::milliseconds interval, Lookup lookup, OnMove on_move);
  ~NodeNames();
  NodeNames(const NodeNames&) = delete;
  NodeNames& operator=(const NodeNames&) = delete;

  void stop();  // on_move() is not called any more; waits for a lookup under way, and for what on_move() does

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
