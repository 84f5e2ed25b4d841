#include "control/node_names.h"

#include <algorithm>
#include <sstream>
#include <utility>

#include "base/log.h"
#include "net/address.h"
#include "os/subprocess.h"

namespace pgb::control {

std::vector<std::string> addresses_of_host(const std::string& name) {
  os::SpawnOptions options;
  options.argv = {"getent", "ahosts", name};
  const auto done = os::run(options, Deadline::after(std::chrono::seconds(3)));
  std::vector<std::string> found;
  if (!done || done->exit_code != 0) return found;
  std::istringstream lines(done->out);
  for (std::string line; std::getline(lines, line);) {  // one for each kind of socket
    std::string address = line.substr(0, line.find_first_of(" \t"));
    const bool known = std::find(found.begin(), found.end(), address) != found.end();
    if (!known && net::Address::parse(address, 1)) found.push_back(std::move(address));
  }
  return found;
}

NodeNames::NodeNames(std::chrono::milliseconds interval, Lookup lookup, OnMove on_move)
    : interval_(interval), lookup_(std::move(lookup)), on_move_(std::move(on_move)), thread_([this] { run(); }) {}

NodeNames::~NodeNames() { stop(); }

void NodeNames::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void NodeNames::set(std::vector<std::string> names) {
  const auto is_address = [](const std::string& name) { return net::Address::parse(name, 1).ok(); };
  names.erase(std::remove_if(names.begin(), names.end(), is_address), names.end());
  {
    const std::lock_guard lock(mutex_);
    names_ = names;
  }
  for (const std::string& name : names) {
    if (address(name) == name) look_up(name);
  }
  changed_.notify_all();
}

std::string NodeNames::address(const std::string& name) const {
  const std::lock_guard lock(mutex_);
  const auto found = found_.find(name);
  return found == found_.end() ? name : found->second;
}

// True if it has moved. What is not found for a while is where it was.
bool NodeNames::look_up(const std::string& name) {
  const std::vector<std::string> addresses = lookup_(name);
  const std::string before = address(name);
  const bool stays = std::find(addresses.begin(), addresses.end(), before) != addresses.end();
  if (addresses.empty() && before == name)
    log::warn("host " + name + " is not found: its node is not known until it is");
  if (addresses.empty() || stays) return false;
  log::info("host " + name + " is " + addresses[0] + (before == name ? "" : ", was " + before));
  const std::lock_guard lock(mutex_);
  found_[name] = addresses[0];
  return true;
}

void NodeNames::run() {
  std::unique_lock lock(mutex_);
  while (!stopped_) {
    if (names_.empty()) {
      changed_.wait(lock);
      continue;
    }
    changed_.wait_for(lock, interval_);
    const std::vector<std::string> names = names_;
    if (stopped_) return;
    lock.unlock();
    bool moved = false;
    for (const std::string& name : names) moved = look_up(name) || moved;
    lock.lock();
    if (!moved || stopped_) continue;
    lock.unlock();
    on_move_();
    lock.lock();
  }
}

}  // namespace pgb::control
