#include "cli/screen.h"

#include <poll.h>
#include <termios.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>

namespace pgb::cli {

namespace {
termios before{};
bool raw = false;
std::atomic<bool> stands{false};
}  // namespace

Screen::Screen() {
  raw = tcgetattr(STDIN_FILENO, &before) == 0;
  termios now = before;
  now.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
  if (raw) tcsetattr(STDIN_FILENO, TCSANOW, &now);
  stands = true;
  std::fputs("\x1b[?1049h\x1b[?25l", stdout);
  std::fflush(stdout);
}

Screen::~Screen() {
  std::fflush(stdout);
  restore_screen();
}

void restore_screen() {
  if (!stands.exchange(false)) return;
  constexpr char kLeave[] = "\x1b[?25h\x1b[?1049l";
  [[maybe_unused]] const auto n = ::write(STDOUT_FILENO, kLeave, sizeof kLeave - 1);
  if (raw) tcsetattr(STDIN_FILENO, TCSANOW, &before);
}

void Screen::draw(const std::string& text, int height) {
  std::string out = "\x1b[H";
  int line = 1;
  for (char c : text) {
    if (c == '\n' && ++line >= height) break;
    out += c == '\n' ? std::string("\x1b[K\n") : std::string(1, c);
  }
  out += "\x1b[K\x1b[J";
  std::fwrite(out.data(), 1, out.size(), stdout);
  std::fflush(stdout);
}

std::optional<char> Screen::key(int wait_ms) {
  pollfd input{STDIN_FILENO, POLLIN, 0};
  char pressed = 0;
  if (poll(&input, raw ? 1 : 0, wait_ms) <= 0 || read(STDIN_FILENO, &pressed, 1) != 1) return std::nullopt;
  return pressed;
}

}  // namespace pgb::cli
