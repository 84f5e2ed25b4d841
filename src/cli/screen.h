// The terminal's other screen, without echo and line editing, until the end of scope. One at a time.
#pragma once

#include <optional>
#include <string>

namespace pgb::cli {

// While it stands, Ctrl-Z gives the terminal back before the program stops, and `fg` takes it again.
class Screen {
 public:
  Screen();
  ~Screen();
  Screen(const Screen&) = delete;
  Screen& operator=(const Screen&) = delete;

  // Overwrites what was there, without flicker. What does not fit is left out: columns beyond `width`, lines beyond
  // `height`.
  void draw(const std::string& text, int width, int height);

  // The key (see keys.h) that was pressed within the time, if one was. May end early when a signal comes.
  std::optional<int> key(int wait_ms);

  // Whether the terminal has become another size, or was somebody else's, since this was asked last.
  bool must_redraw();

 private:
  std::string typed_;
  bool reads_;  // keys; false: standard input is no terminal, or has ended
};

// Gives the terminal back as it was, if a Screen stands. For signal handlers, too.
void restore_screen();

}  // namespace pgb::cli
