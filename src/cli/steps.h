// The steps of a verb as text; no streams, no threads, and the time is told.
#pragma once

#include <chrono>
#include <map>
#include <string>
#include <vector>

#include "cli/terminal.h"
#include "cluster/session.h"

namespace pgb::cli {

using Clock = std::chrono::steady_clock;

const char* state_word(cluster::Event::State state);  // "running", "waiting", "ok", "failed"

struct Step {
  cluster::Event event;
  Clock::time_point at;    // when the event came
  Clock::time_point told;  // when a plain line was last written about it

  bool ended() const {
    return event.state == cluster::Event::State::kOk || event.state == cluster::Event::State::kFailed;
  }
  double seconds(Clock::time_point now) const;  // since it began; stands still once it ended
};

class Steps {
 public:
  explicit Steps(Clock::time_point now) : began_(now) {}

  // Takes the news; the line for a stream that is no terminal, empty if only a number in it changed.
  std::string take(const cluster::Event& event, Clock::time_point now);

  // A line for each step of which nothing was written for ten seconds.
  std::string still(Clock::time_point now);

  // The list as it stands, and a last line of totals while it goes on. Its lines fit the terminal, and so
  // does their number: ended steps are left out first.
  std::vector<std::string> frame(const Terminal& terminal, Clock::time_point now, bool goes_on) const;

 private:
  std::string line(const Terminal& terminal, const Step& step, Clock::time_point now, size_t name_width) const;

  Clock::time_point began_;
  std::map<std::string, size_t> index_;
  std::vector<Step> steps_;  // in the order of their beginning
};

}  // namespace pgb::cli
