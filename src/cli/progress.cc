#include "cli/progress.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <thread>
#include <vector>

namespace pgb::cli {

using cluster::Event;

namespace {

const char* state_word(Event::State state) {
  switch (state) {
    case Event::State::kRunning: return "running";
    case Event::State::kWaiting: return "waiting";
    case Event::State::kOk: return "ok";
    case Event::State::kFailed: return "failed";
  }
  return "";
}

std::string seconds_text(double seconds) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1fs", seconds);
  return text;
}

class QuietProgress : public Progress {
 public:
  void show(const Event&) override {}
};

class PlainProgress : public Progress {
 public:
  void show(const Event& event) override {
    std::string& last = last_[event.id];
    const bool end = event.state == Event::State::kOk || event.state == Event::State::kFailed;
    // A reason for waiting that only changes its words is not news.
    const std::string kind = std::string(state_word(event.state)) + event.text.substr(0, event.text.find(':'));
    if (kind == last) return;
    last = kind;
    std::string line = event.id + ": ";
    if (end) line += std::string(state_word(event.state)) + ", ";
    line += event.text;
    if (end) line += " (" + seconds_text(event.seconds) + ")";
    std::fprintf(stderr, "%s\n", line.c_str());
  }

 private:
  std::map<std::string, std::string> last_;
};

class JsonProgress : public Progress {
 public:
  void show(const Event& event) override {
    const nlohmann::json doc{{"v", 1},
                             {"event", "step"},
                             {"id", event.id},
                             {"state", state_word(event.state)},
                             {"text", event.text},
                             {"seconds", event.seconds}};
    std::printf("%s\n", doc.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace).c_str());
    std::fflush(stdout);
  }
};

// Redraws its lines ten times a second on a thread of its own: times go on while nothing is told.
class TtyProgress : public Progress {
 public:
  explicit TtyProgress(const Terminal& terminal) : terminal_(terminal), thread_([this] { run(); }) {}
  ~TtyProgress() override {
    {
      const std::lock_guard lock(mutex_);
      done_ = true;
    }
    wake_.notify_all();
    thread_.join();
    draw();
  }

  void show(const Event& event) override {
    const std::lock_guard lock(mutex_);
    auto [place, fresh] = index_.try_emplace(event.id, lines_.size());
    if (fresh) lines_.emplace_back();
    lines_[place->second] = {event, std::chrono::steady_clock::now()};
  }

 private:
  struct Line {
    Event event;
    std::chrono::steady_clock::time_point at;
  };

  void run() {
    std::unique_lock lock(mutex_);
    while (!wake_.wait_for(lock, std::chrono::milliseconds(100), [this] { return done_; })) {
      lock.unlock();
      draw();
      lock.lock();
    }
  }

  std::string render(const Line& line) const {
    static const char* const kSpin[] = {"⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"};
    const Event& event = line.event;
    double seconds = event.seconds;
    std::string head;
    switch (event.state) {
      case Event::State::kOk: head = mark(terminal_, Mark::kOk); break;
      case Event::State::kFailed: head = mark(terminal_, Mark::kBad); break;
      case Event::State::kWaiting: head = mark(terminal_, Mark::kWaiting); break;
      case Event::State::kRunning: head = terminal_.utf8 ? kSpin[frame_ % 10] : "->"; break;
    }
    if (event.state == Event::State::kRunning || event.state == Event::State::kWaiting) {
      seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - line.at).count();
    }
    const size_t room = static_cast<size_t>(std::max(terminal_.width, 40)) - 26;
    std::string name = shorten(event.id, 14), text = event.text;
    name.resize(15, ' ');
    if (text.size() > room) text.resize(room);
    text.resize(room, ' ');
    return " " + head + " " + name + text + " " + seconds_text(seconds);
  }

  void draw() {
    const std::lock_guard lock(mutex_);
    ++frame_;
    std::string out = drawn_ > 0 ? "\x1b[" + std::to_string(drawn_) + "A" : "";
    for (const Line& line : lines_) out += "\r" + render(line) + "\x1b[K\n";
    drawn_ = lines_.size();
    std::fwrite(out.data(), 1, out.size(), stderr);
  }

  Terminal terminal_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool done_ = false;
  std::map<std::string, size_t> index_;
  std::vector<Line> lines_;
  size_t drawn_ = 0;
  size_t frame_ = 0;
  std::thread thread_;
};

}  // namespace

std::unique_ptr<Progress> make_progress(const std::string& mode, const Terminal& terminal) {
  if (mode == "quiet") return std::make_unique<QuietProgress>();
  if (mode == "json") return std::make_unique<JsonProgress>();
  if (mode == "tty" || (mode == "auto" && terminal.tty)) return std::make_unique<TtyProgress>(terminal);
  return std::make_unique<PlainProgress>();
}

}  // namespace pgb::cli
