#include "control/node_names.h"

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "net/address.h"
#include "os/subprocess.h"

namespace pgb::control {

std::string address_of_host(const std::string& name) {
  os::SpawnOptions options;
  options.argv = {"getent", "ahosts", name};
  const auto done = os::run(options, Deadline::after(std::chrono::seconds(3)));
  if (!done || done->exit_code != 0) return {};
  const std::string first = done->out.substr(0, done->out.find_first_of(" \t\n"));
  return net::Address::parse(first, 1) ? first : std::string();
}

NodeNames::NodeNames(std::chrono::milliseconds interval, Lookup lookup, OnMove on_move)
    : interval_(interval), lookup_(std::move(lookup)), on_move_(std::move(on_move)), thread_([this] { run(); }) {}

NodeNames::~NodeNames() {
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
  }
  changed_.notify_all();
  thread_.join();
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
  const std::string address = lookup_(name);
  const std::string before = this->address(name);
  if (address.empty() && before == name) log::warn("host " + name + " is not found: its node is not known until it is");
  if (address.empty() || address == before) return false;
  log::info("host " + name + " is " + address + (before == name ? "" : ", was " + before));
  const std::lock_guard lock(mutex_);
  found_[name] = address;
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
    if (moved) on_move_();
    lock.lock();
  }
}

}  // namespace pgb::control
