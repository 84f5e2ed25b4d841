#include "cli/watch.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <climits>
#include <cstdio>
#include <optional>

#include "base/strings.h"
#include "cli/app.h"
#include "cli/keys.h"
#include "cli/screen.h"
#include "cli/terminal.h"

namespace pgb::cli {

namespace {

using Clock = std::chrono::steady_clock;

constexpr int kSlice_ms = 100;  // a signal that comes just before a wait is seen no later
constexpr int kKeyLines = 2;    // the keys, and a blank line above them
constexpr char kScrolling[] =
    "  q             quits (Ctrl-C, too)\n"
    "  Ctrl-Z        stops it; fg goes on\n"
    "  ? or h        this help, and back\n"
    "  PgUp, PgDn    up and down where not all fits; Home, End\n";

class Watching {
 public:
  Watching(Context& context, const cluster::Session& session, const WatchedView& view)
      : context_(context), session_(session), view_(view) {
    if (context.out.tty && !context.json) screen_.emplace();
  }

  // The exit code.
  int run(int interval_ms) {
    const Status ended = go_on(interval_ms);
    const bool shown = screen_.has_value();
    screen_.reset();
    if (shown) std::fputs(last_.c_str(), stdout);  // the last frame stays
    if (ended.ok()) return 0;
    const Code code = ended.error().code;
    if (code == Code::kTimeout) return 0;
    return code == Code::kInterrupted ? error_info(code).exit_code : context_.fail(ended.error());
  }

 private:
  Status go_on(int interval_ms) {
    for (;;) {
      PGB_TRY(session_.check_interrupted());
      const auto text = view_.make();
      if (!text.ok() && text.error().code == Code::kNoNode) return text.error();
      last_ = text.ok() ? *text : wrapped(text.error().message, static_cast<size_t>(context_.out.width), "");
      if (screen_ ? !shown_until_due(interval_ms) : !told(interval_ms)) return {};
      if (std::ferror(stdout) != 0) return Error(Code::kIo, "cannot write to standard output");
    }
  }

  bool told(int interval_ms) const {
    std::fputs((last_ + (context_.json ? "" : "\n")).c_str(), stdout);
    std::fflush(stdout);
    for (const auto due = Clock::now() + std::chrono::milliseconds(interval_ms); left(due) > 0;) {
      poll(nullptr, 0, std::min(left(due), kSlice_ms));
      if (!session_.check_interrupted().ok()) break;
    }
    return true;
  }

  // False: a key ended it.
  bool shown_until_due(int interval_ms) {
    draw();
    for (const auto due = Clock::now() + std::chrono::milliseconds(interval_ms); left(due) > 0;) {
      const auto key = screen_->key(std::min(left(due), kSlice_ms));
      if (key && is_quit(*key)) return false;
      if (!session_.check_interrupted().ok()) return true;
      if (screen_->must_redraw()) return true;  // with all the columns that there are now
      if (!key) continue;
      if (!scrolls(*key)) {
        help_ = false;
        top_ = 0;
        if (view_.obey(*key)) return true;
      }
      draw();
    }
    return true;
  }

  static int left(Clock::time_point due) {
    return static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(due - Clock::now()).count());
  }

  // Whether the key only moves through what is there.
  bool scrolls(int key) {
    const int page = std::max(height() - kKeyLines - 1, 1);
    if (is_help(key)) {
      help_ = !help_;
      top_ = 0;
    } else if (key == kPageUp || key == kPageDown) {
      top_ += key == kPageUp ? -page : page;
    } else if (key == kHome || key == kEnd) {
      top_ = key == kHome ? 0 : INT_MAX;
    } else {
      return false;
    }
    return true;
  }

  static int height() { return Terminal::of(STDOUT_FILENO, "never").height; }

  void draw() {
    const std::string text = help_ ? view_.help + kScrolling : last_;
    const Terminal now = Terminal::of(STDOUT_FILENO, "never");
    screen_->draw(page_of(text, help_ ? "  ? goes back  q quits" : view_.keys(), now.height, top_), now.width,
                  now.height);
  }

  Context& context_;
  const cluster::Session& session_;
  const WatchedView& view_;
  std::optional<Screen> screen_;
  std::string last_;
  int top_ = 0;
  bool help_ = false;
};

}  // namespace

std::string page_of(const std::string& text, const std::string& keys, int height, int& top) {
  const auto lines = split(text.substr(0, text.find_last_not_of('\n') + 1), '\n');
  const int room = std::max(height - kKeyLines, 1), count = static_cast<int>(lines.size());
  top = std::clamp(top, 0, std::max(count - room, 0));
  std::string out;
  for (int i = top; i < std::min(top + room, count); ++i) out += lines[static_cast<size_t>(i)] + "\n";
  const int below = count - top - room;
  const std::string more = below > 0
                               ? "  " + std::to_string(below) + (below == 1 ? " more line: PgDn" : " more lines: PgDn")
                           : top > 0 ? "  PgUp"
                                     : "";
  return height <= 1 ? out : out + (height > kKeyLines ? "\n" : "") + keys + more;
}

int watch(Context& context, const cluster::Session& session, int interval_ms, const WatchedView& view) {
  only_looks();
  return Watching(context, session, view).run(interval_ms);
}

}  // namespace pgb::cli
