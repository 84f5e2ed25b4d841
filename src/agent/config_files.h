// Our configuration's files as they were at the start: do they say something else by now?
#pragma once

#include <sys/stat.h>

#include <string>
#include <tuple>
#include <vector>

#include "agent/agent_config.h"

namespace pgb::agent {

class ConfigFiles {
 public:
  explicit ConfigFiles(const AgentConfig& config) {
    paths_ = {config.config_dir + "/agent.json", config.config_dir + "/group.json"};
    for (const std::string& name : config.init_sql) paths_.push_back(config.config_dir + "/" + name);
    stamps_ = look();
  }
  bool changed() const { return look() != stamps_; }
  void accept() { stamps_ = look(); }  // what they say now is known

 private:
  using Stamp = std::tuple<ino_t, time_t, long>;

  std::vector<Stamp> look() const {
    std::vector<Stamp> stamps;
    for (const std::string& path : paths_) {
      struct stat info = {};
      ::stat(path.c_str(), &info);  // one that is not there is all zeroes
      stamps.emplace_back(info.st_ino, info.st_ctim.tv_sec, info.st_ctim.tv_nsec);  // an archive may set mtime
    }
    return stamps;
  }
  std::vector<std::string> paths_;
  std::vector<Stamp> stamps_;
};

}  // namespace pgb::agent
