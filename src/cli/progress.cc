#include "cli/progress.h"

#include <condition_variable>
#include <cstdio>
#include <functional>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <thread>

#include "cli/steps.h"
#include "cluster/time_text.h"

namespace pgb::cli {

using cluster::Event;

namespace {

// Does something again and again on a thread of its own, until the end of scope.
class Ticker {
 public:
  Ticker(std::chrono::milliseconds every, std::function<void()> work)
      : every_(every), work_(std::move(work)), thread_([this] { run(); }) {}
  ~Ticker() {
    {
      const std::lock_guard lock(mutex_);
      done_ = true;
    }
    wake_.notify_all();
    thread_.join();
  }
  Ticker(const Ticker&) = delete;
  Ticker& operator=(const Ticker&) = delete;

 private:
  void run() {
    std::unique_lock lock(mutex_);
    while (!wake_.wait_for(lock, every_, [this] { return done_; })) work_();
  }

  const std::chrono::milliseconds every_;
  const std::function<void()> work_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool done_ = false;
  std::thread thread_;  // last: it uses the others
};

class QuietProgress : public Progress {
 public:
  void show(const Event&) override {}
};

class JsonProgress : public Progress {
 public:
  void show(const Event& event) override {
    const nlohmann::json line{{"v", 1},
                              {"time", cluster::utc_now()},
                              {"event", "step"},
                              {"id", event.id},
                              {"state", state_word(event.state)},
                              {"text", event.text},
                              {"seconds", event.seconds}};
    std::printf("%s\n", line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace).c_str());
    std::fflush(stdout);
  }
};

class PlainProgress : public Progress {
 public:
  void show(const Event& event) override {
    const std::lock_guard lock(mutex_);
    std::fputs(steps_.take(event, Clock::now()).c_str(), stderr);
  }

 private:
  void tick() {
    const std::lock_guard lock(mutex_);
    std::fputs(steps_.still(Clock::now()).c_str(), stderr);
  }

  std::mutex mutex_;
  Steps steps_{Clock::now()};
  Ticker ticker_{std::chrono::seconds(1), [this] { tick(); }};
};

// Redraws its lines ten times a second: times go on while nothing is told.
class TtyProgress : public Progress {
 public:
  explicit TtyProgress(const Terminal& terminal) : terminal_(terminal) {
    ticker_.emplace(std::chrono::milliseconds(100), [this] { draw(true); });
  }
  ~TtyProgress() override {
    ticker_.reset();
    draw(false);
  }

  void show(const Event& event) override {
    const std::lock_guard lock(mutex_);
    steps_.take(event, Clock::now());
  }

 private:
  void draw(bool goes_on) {
    const std::lock_guard lock(mutex_);
    std::string out = drawn_ > 0 ? "\x1b[" + std::to_string(drawn_) + "A" : "";
    const auto lines = steps_.frame(terminal_, Clock::now(), goes_on);
    for (const std::string& line : lines) out += "\r" + line + "\x1b[K\n";
    if (drawn_ > lines.size()) out += "\x1b[J";
    drawn_ = lines.size();
    std::fwrite(out.data(), 1, out.size(), stderr);
  }

  const Terminal terminal_;
  std::mutex mutex_;
  Steps steps_{Clock::now()};
  size_t drawn_ = 0;
  std::optional<Ticker> ticker_;
};

}  // namespace

std::unique_ptr<Progress> make_progress(const std::string& mode, const Terminal& terminal) {
  if (mode == "quiet") return std::make_unique<QuietProgress>();
  if (mode == "json") return std::make_unique<JsonProgress>();
  if (terminal.tty && (mode == "tty" || mode == "auto")) return std::make_unique<TtyProgress>(terminal);
  return std::make_unique<PlainProgress>();
}

}  // namespace pgb::cli
