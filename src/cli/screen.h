// The terminal's other screen, without echo and line editing, until the end of scope. One at a time.
#pragma once

#include <optional>
#include <string>

namespace pgb::cli {

class Screen {
 public:
  Screen();
  ~Screen();
  Screen(const Screen&) = delete;
  Screen& operator=(const Screen&) = delete;

  // Overwrites what was there, without flicker; lines below `height` are left out.
  void draw(const std::string& text, int height);

  // The key that was pressed within the time, if one was. Ends early when a signal comes.
  std::optional<char> key(int wait_ms);
};

// Gives the terminal back as it was, if a Screen stands. For signal handlers, too.
void restore_screen();

}  // namespace pgb::cli
