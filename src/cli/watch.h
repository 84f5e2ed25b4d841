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
  // On a screen the last line: its keys, and what they do now. `q`, `?` and those that scroll work besides.
  std::function<std::string()> keys;
  std::string help;  // what `?` shows: a line a key
  // What a key does (see keys.h); then the next view is made at once. False: it is not one of its keys.
  std::function<bool(int key)> obey;
};

// Until `q`, a signal or the command's time limit ends it; what was seen last stays in sight. Returns the exit code.
int watch(Context& context, const cluster::Session& session, int interval_ms, const WatchedView& view);

// What a screen of that height shows: the text from line `top` on (of the last lines, if it is beyond), and below it
// the keys, which say if there is more. `top` becomes the first line that is shown.
std::string page_of(const std::string& text, const std::string& keys, int height, int& top);

}  // namespace pgb::cli
