// What servers told at a login, so that not every client has to wait for one: by user, database and the parameters
// that the session begins with. Known only while some server of that user and database is connected. Thread-safe.
#pragma once

#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "proxy/parameter_set.h"

namespace pgb::proxy {

class Greetings {
 public:
  using Reported = std::map<std::string, std::string>;  // ParameterStatus: name to value

  std::optional<Reported> find(const std::string& user, const std::string& database,
                               const ParameterSetPtr& parameters) const {
    const std::lock_guard lock(mutex_);
    const auto known = known_.find({user, database});
    if (known == known_.end()) return std::nullopt;
    const auto found = known->second.told.find(parameters);
    return found == known->second.told.end() ? std::nullopt : std::optional(found->second);
  }
  void tell(const std::string& user, const std::string& database, const ParameterSetPtr& parameters,
            const Reported& reported) {
    const std::lock_guard lock(mutex_);
    const auto known = known_.find({user, database});
    if (known == known_.end()) return;
    if (known->second.told.size() >= kMost) known->second.told.clear();
    known->second.told[parameters] = reported;
  }
  void server_came(const std::string& user, const std::string& database) {
    const std::lock_guard lock(mutex_);
    ++known_[{user, database}].servers;
  }
  void server_went(const std::string& user, const std::string& database) {
    const std::lock_guard lock(mutex_);
    const auto known = known_.find({user, database});
    if (known != known_.end() && --known->second.servers == 0) known_.erase(known);
  }

 private:
  static constexpr size_t kMost = 100;
  struct Known {
    unsigned servers = 0;
    std::map<ParameterSetPtr, Reported> told;
  };

  mutable std::mutex mutex_;
  std::map<std::pair<std::string, std::string>, Known> known_;  // guarded by mutex_
};

}  // namespace pgb::proxy
