// How long each agent of a group has said nothing, by our own clock: agents write to the store at least once a second,
// changed or not. Time in which the store did not answer counts for nothing, and so does what was before the first
// look. No thread but the caller's.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <map>
#include <string>

namespace pgb::control {

class MemberAges {
 public:
  using Time = std::chrono::steady_clock::time_point;
  static constexpr double kMostBetweenLooks_s = 2;

  // `revisions`: of what each has written last, by name, as the store told at `now`. In seconds, of the same names.
  std::map<std::string, double> take(const std::map<std::string, int64_t>& revisions, Time now) {
    const double since_s = std::max(0.0, std::chrono::duration<double>(now - looked_).count());
    const double step_s = since_s > kMostBetweenLooks_s ? 0 : since_s;
    looked_ = std::max(looked_, now);
    std::map<std::string, Word> words;
    std::map<std::string, double> ages;
    for (const auto& [name, revision] : revisions) {
      const auto known = words_.find(name);
      const bool same = known != words_.end() && known->second.revision == revision;
      const double age_s = same ? known->second.age_s + step_s : 0;
      words[name] = {revision, age_s};
      ages[name] = age_s;
    }
    words_.swap(words);
    return ages;
  }

 private:
  struct Word {
    int64_t revision = 0;
    double age_s = 0;
  };
  std::map<std::string, Word> words_;  // by name
  Time looked_{};
};

}  // namespace pgb::control
