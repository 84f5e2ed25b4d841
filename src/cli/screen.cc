#include "cli/screen.h"

#include <poll.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>

#include "cli/keys.h"
#include "cli/terminal.h"

namespace pgb::cli {

namespace {

constexpr int kRestOfKey_ms = 50;  // within that time a key's later bytes come, also from afar
constexpr char kEnter[] = "\x1b[?1049h\x1b[?25l";
constexpr char kLeave[] = "\x1b[?25h\x1b[?1049l";

termios before{}, during{};
bool raw = false;
std::atomic<bool> stands{false}, redraw{false};

void write_out(const char* text, size_t size) { [[maybe_unused]] const auto n = ::write(STDOUT_FILENO, text, size); }

void take_terminal() {
  if (raw) tcsetattr(STDIN_FILENO, TCSANOW, &during);
  write_out(kEnter, sizeof kEnter - 1);
}

void give_terminal_back() {
  write_out(kLeave, sizeof kLeave - 1);
  if (raw) tcsetattr(STDIN_FILENO, TCSANOW, &before);
}

void on_resize(int) { redraw = true; }

void on_stop(int) {
  const int error = errno;
  give_terminal_back();
  ::kill(::getpid(), SIGSTOP);  // goes on here once somebody says so
  take_terminal();
  redraw = true;
  errno = error;
}

}  // namespace

Screen::Screen() {
  raw = tcgetattr(STDIN_FILENO, &before) == 0;
  reads_ = raw;
  during = before;
  during.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
  std::fflush(stdout);
  take_terminal();
  stands = true;
  std::signal(SIGWINCH, on_resize);
  if (std::signal(SIGTSTP, on_stop) == SIG_IGN) std::signal(SIGTSTP, SIG_IGN);
}

Screen::~Screen() {
  std::signal(SIGWINCH, SIG_DFL);
  if (std::signal(SIGTSTP, SIG_DFL) == SIG_IGN) std::signal(SIGTSTP, SIG_IGN);
  std::fflush(stdout);
  restore_screen();
}

void restore_screen() {
  if (stands.exchange(false)) give_terminal_back();
}

void Screen::draw(const std::string& text, int width, int height) {
  std::string out = "\x1b[H";
  size_t begin = 0;
  int lines = 0;
  for (; lines < height && begin < text.size(); ++lines) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    const std::string line = cut(text.substr(begin, end - begin), static_cast<size_t>(width));
    out += (lines > 0 ? "\n" : "") + line;
    // Behind a full line the cursor stands on its last character, which would be erased.
    if (columns(line) < static_cast<size_t>(width)) out += "\x1b[K";
    begin = end + 1;
  }
  if (lines < height) out += "\n\x1b[J";
  std::fwrite(out.data(), 1, out.size(), stdout);
  std::fflush(stdout);
}

std::optional<int> Screen::key(int wait_ms) {
  if (auto known = take_key(typed_)) return known;
  pollfd input{STDIN_FILENO, POLLIN, 0};
  char bytes[64];
  for (int wait = wait_ms; poll(&input, reads_ ? 1 : 0, wait) > 0; wait = kRestOfKey_ms) {
    const ssize_t n = ::read(STDIN_FILENO, bytes, sizeof bytes);
    if (n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN)) reads_ = false;
    if (n > 0) typed_.append(bytes, static_cast<size_t>(n));
    if (typed_.size() != 1 || typed_.front() != kEscape) break;
  }
  return take_key(typed_);
}

bool Screen::must_redraw() { return redraw.exchange(false); }

}  // namespace pgb::cli
