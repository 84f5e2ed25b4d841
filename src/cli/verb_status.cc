// status, once or again and again.
#include <poll.h>
#include <termios.h>
#include <unistd.h>

#include <cstdio>
#include <optional>

#include "base/strings.h"
#include "cli/context.h"
#include "cli/status_view.h"
#include "cluster/status.h"

namespace pgb::cli {

namespace {

using cluster::StatusDocument;

std::string rendered(const Context& context, const StatusDocument& document) {
  if (context.json) return to_json(document) + "\n";
  return render_status(document, context.out, context.line.get("--output") == "wide");
}

// The terminal without line editing and echo, on its other screen, until the end of scope.
class Screen {
 public:
  Screen() : raw_(tcgetattr(STDIN_FILENO, &before_) == 0) {
    termios now = before_;
    now.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
    if (raw_) tcsetattr(STDIN_FILENO, TCSANOW, &now);
    std::fputs("\x1b[?1049h\x1b[?25l", stdout);
  }
  ~Screen() {
    std::fputs("\x1b[?25h\x1b[?1049l", stdout);
    std::fflush(stdout);
    if (raw_) tcsetattr(STDIN_FILENO, TCSANOW, &before_);
  }
  Screen(const Screen&) = delete;
  Screen& operator=(const Screen&) = delete;

  // Home, overwrite, erase to the end of each line and of the screen: no flicker.
  void draw(const std::string& text) {
    std::string out = "\x1b[H";
    for (char c : text) out += c == '\n' ? std::string("\x1b[K\n") : std::string(1, c);
    out += "\x1b[J";
    std::fwrite(out.data(), 1, out.size(), stdout);
    std::fflush(stdout);
  }

  // True if q was pressed within the time.
  bool quit(int wait_ms) {
    pollfd input{STDIN_FILENO, POLLIN, 0};
    char key = 0;
    return poll(&input, raw_ ? 1 : 0, wait_ms) > 0 && read(STDIN_FILENO, &key, 1) == 1 && (key == 'q' || key == 'Q');
  }

 private:
  termios before_{};
  bool raw_;
};

int watch(Context& context, const cluster::Session& session, int interval_ms) {
  std::string last;
  {
    std::optional<Screen> screen;
    if (context.out.tty && !context.json) screen.emplace();
    while (session.check_interrupted().ok()) {
      auto document = cluster::status(session);
      last = document.ok() ? rendered(context, *document) : "! " + document.error().message + "\n";
      if (screen) {
        screen->draw(last + "\n  q quits\n");
        if (screen->quit(interval_ms)) break;
      } else {
        std::fputs((last + (context.json ? "" : "\n")).c_str(), stdout);
        std::fflush(stdout);
        poll(nullptr, 0, interval_ms);
      }
    }
    if (!screen) return 0;
  }
  std::fputs(last.c_str(), stdout);  // the last frame stays
  return 0;
}

// Until it is healthy; the document of that moment, or of the end of patience.
Result<StatusDocument> wait_healthy(const cluster::Session& session) {
  for (;; poll(nullptr, 0, 100)) {
    auto document = cluster::status(session);
    if (!document.ok() || document->state == "healthy") return document;
    PGB_TRY(session.check_interrupted());
  }
}

}  // namespace

int verb_status(Context& context) {
  const std::string every = context.line.get("--watch");
  const auto interval = parse_duration_ms(every.empty() ? "1" : every);
  if (!interval || *interval < 100 || *interval > 3600 * 1000) {
    return context.fail(
        Error(Code::kUsage, "--watch=" + every + " is no interval").with("try", "--watch=1 or --watch=500ms"));
  }
  auto session = context.open();
  if (!session.ok()) return context.fail(session.error());
  if (context.line.has("--watch")) return watch(context, **session, static_cast<int>(*interval));
  const bool waiting = context.line.has("--wait");
  auto document = waiting ? wait_healthy(**session) : cluster::status(**session);
  if (!document.ok()) return context.fail(document.error());
  std::fputs(rendered(context, *document).c_str(), stdout);
  return context.line.has("--exit-code") ? status_exit_code(*document) : 0;
}

}  // namespace pgb::cli
