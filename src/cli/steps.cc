#include "cli/steps.h"

#include <algorithm>
#include <cstdio>

namespace pgb::cli {

using cluster::Event;

const char* state_word(Event::State state) {
  switch (state) {
    case Event::State::kRunning: return "running";
    case Event::State::kWaiting: return "waiting";
    case Event::State::kOk: return "ok";
    case Event::State::kFailed: return "failed";
  }
  return "";
}

static std::string seconds_text(double seconds) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1fs", seconds);
  return text;
}

double Step::seconds(Clock::time_point now) const {
  return ended() ? event.seconds : event.seconds + std::chrono::duration<double>(now - at).count();
}

// A reason for waiting that only changes its words is not news.
static std::string kind_of(const Event& event) {
  return std::string(state_word(event.state)) + event.text.substr(0, event.text.find(':'));
}

std::string Steps::take(const Event& event, Clock::time_point now) {
  const auto [place, fresh] = index_.try_emplace(event.id, steps_.size());
  if (fresh) steps_.push_back({event, now, now});
  Step& step = steps_[place->second];
  const bool news = fresh || kind_of(step.event) != kind_of(event);
  step.event = event;
  step.at = now;
  if (!news) return "";
  step.told = now;
  std::string line = event.id + ": ";
  if (step.ended()) line += std::string(state_word(event.state)) + ", ";
  line += visible(event.text);
  if (step.ended()) line += " (" + seconds_text(event.seconds) + ")";
  return line + "\n";
}

std::string Steps::still(Clock::time_point now) {
  std::string out;
  for (Step& step : steps_) {
    if (step.ended() || now - step.told < std::chrono::seconds(10)) continue;
    step.told = now;
    char text[32];
    std::snprintf(text, sizeof text, " (%.0fs)\n", step.seconds(now));
    out += step.event.id + ": still " + visible(step.event.text) + text;
  }
  return out;
}

std::string Steps::line(const Terminal& terminal, const Step& step, Clock::time_point now, size_t name_width) const {
  static const char* const kSpin[] = {"⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"};
  std::string head;
  switch (step.event.state) {
    case Event::State::kOk: head = mark(terminal, Mark::kOk); break;
    case Event::State::kFailed: head = mark(terminal, Mark::kBad); break;
    case Event::State::kWaiting: head = mark(terminal, Mark::kWaiting); break;
    case Event::State::kRunning:
      head = terminal.utf8 ? kSpin[(now - began_) / std::chrono::milliseconds(100) % 10] : "->";
      break;
  }
  const std::string time = seconds_text(step.seconds(now));
  const size_t used = 1 + columns(head) + 1 + name_width + 1 + 1 + time.size();
  const size_t width = static_cast<size_t>(std::max(terminal.width, 40)) - 1;  // the last column would wrap on some
  return " " + head + " " + fitted(shorten(step.event.id, name_width), name_width) + " " +
         fitted(visible(step.event.text), width - used) + " " + time;
}

std::vector<std::string> Steps::frame(const Terminal& terminal, Clock::time_point now, bool goes_on) const {
  const size_t room = static_cast<size_t>(std::max(terminal.height, 4)) - 2;
  size_t ended = 0, name_width = 10;
  for (const Step& step : steps_) {
    ended += step.ended() ? 1 : 0;
    name_width = std::max(name_width, std::min<size_t>(step.event.id.size(), 14));
  }
  size_t drop = steps_.size() > room ? steps_.size() - room : 0;
  size_t drop_open = drop > ended ? drop - ended : 0;
  std::vector<std::string> lines;
  for (const Step& step : steps_) {
    size_t& left = step.ended() ? drop : drop_open;
    if (left > 0) {
      --left;
    } else {
      lines.push_back(line(terminal, step, now, name_width));
    }
  }
  if (goes_on && !steps_.empty()) {
    lines.push_back(fitted(" " + std::to_string(ended) + " of " + std::to_string(steps_.size()) + "   " +
                               seconds_text(std::chrono::duration<double>(now - began_).count()) +
                               "   Ctrl-C stops here and keeps what stands",
                           static_cast<size_t>(std::max(terminal.width, 40)) - 1));
  }
  return lines;
}

}  // namespace pgb::cli
