// What a cluster file may say, but hardly means: `validate` tells, `validate --strict` refuses.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "model/topology_json.h"

namespace pgb::model {

// What a file names outside itself.
struct Surroundings {
  std::function<bool(const std::string& path)> has_file;      // as the file has it: relative to the file
  std::function<bool(const std::string& name)> has_variable;  // of the environment
};

// `text` is the file that gave this cluster, without mistakes. Each doubt stands at the value it is about.
std::vector<Mistake> doubts(const Cluster& cluster, std::string_view text, const Surroundings& around);

}  // namespace pgb::model
