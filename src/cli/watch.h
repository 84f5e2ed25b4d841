// A view that is made again and again: on a screen of its own at a terminal, else one after the other.
#pragma once

#include <functional>
#include <string>

#include "base/result.h"
#include "cli/context.h"
#include "cluster/session.h"

namespace pgb::cli {

struct WatchedView {
  // The text of now. An error stands in its place, and the next one is waited for; kNoNode ends it.
  std::function<Result<std::string>()> make;
  // The text as a screen of that height shows it, with its line of keys.
  std::function<std::string(const std::string& text, int height)> on_screen;
  // What a key does; the next view is made at once. False: it ends.
  std::function<bool(char key)> obey;
};

// Until a key, a signal or the command's time limit ends it; what was seen last stays in sight. Returns the exit code.
int watch(Context& context, const cluster::Session& session, int interval_ms, const WatchedView& view);

inline bool is_quit(char key) { return key == 'q' || key == 'Q'; }

}  // namespace pgb::cli
