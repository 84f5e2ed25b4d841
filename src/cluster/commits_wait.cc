#include "cluster/commits_wait.h"

#include <algorithm>
#include <cstdlib>
#include <vector>

#include "base/strings.h"

namespace pgb::cluster {

// `ANY 1 ("replica1", "replica2")`, or ANY 1 (pgbalancer_nobody), for which nobody streams.
std::string commits_wait(const std::string& names, const std::map<std::string, Follower>& followers) {
  const size_t open = names.find('('), close = names.rfind(')');
  if (names.rfind("ANY ", 0) != 0 || open == std::string::npos || close == std::string::npos) return "";
  if (names.find("pgbalancer_nobody") != std::string::npos) {
    return "commits wait: its primary takes none yet; pgbalancer_cluster why says what it waits for";
  }
  const long needed = std::strtol(names.c_str() + 4, nullptr, 10);
  long streaming = 0;
  std::string all, away;
  for (const std::string& part : split(std::string_view(names).substr(open + 1, close - open - 1), ',')) {
    std::string name(trim(part));
    name.erase(std::remove(name.begin(), name.end(), '"'), name.end());
    all += (all.empty() ? "" : ", ") + name;
    const auto follower = followers.find(name);
    const bool streams = follower != followers.end() && follower->second.state == "streaming";
    streaming += streams ? 1 : 0;
    if (!streams) away += (away.empty() ? "" : ", ") + name;
  }
  if (streaming >= needed) return "";
  return "commits wait: they need any " + std::to_string(needed) + " of " + all + ", and " +
         (streaming == 0 ? "none" : "only " + std::to_string(streaming)) +
         " of them streams; pgbalancer_cluster start brings back " + away;
}

}  // namespace pgb::cluster
