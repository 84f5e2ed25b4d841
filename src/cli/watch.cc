#include "cli/watch.h"

#include <poll.h>
#include <unistd.h>

#include <cstdio>
#include <optional>

#include "cli/screen.h"
#include "cli/terminal.h"

namespace pgb::cli {

int watch(Context& context, const cluster::Session& session, int interval_ms, const WatchedView& view) {
  std::string last;
  {
    std::optional<Screen> screen;
    if (context.out.tty && !context.json) screen.emplace();
    while (session.check_interrupted().ok()) {
      const auto text = view.make();
      if (!text.ok() && text.error().code == Code::kNoNode) {
        screen.reset();
        return context.fail(text.error());
      }
      last = text.ok() ? *text : "! " + visible(text.error().message) + "\n";
      if (screen) {
        const int height = Terminal::of(STDOUT_FILENO, "never").height;
        screen->draw(view.on_screen(last, height), height);
        const auto key = screen->key(interval_ms);
        if (key && !view.obey(*key)) break;
      } else {
        std::fputs((last + (context.json ? "" : "\n")).c_str(), stdout);
        std::fflush(stdout);
        poll(nullptr, 0, interval_ms);
      }
    }
    if (!screen) last.clear();
  }
  std::fputs(last.c_str(), stdout);  // the last frame stays
  const Status ended = session.check_interrupted();
  return ended.ok() || ended.error().code == Code::kTimeout ? 0 : error_info(ended.error().code).exit_code;
}

}  // namespace pgb::cli
