#include "cli/ask.h"

#include <poll.h>
#include <unistd.h>

#include <cstdio>
#include <iostream>

#include "base/strings.h"

namespace pgb::cli {

bool can_ask(const Context& context) {
  return !context.line.has("--yes") && !context.line.has("--no-input") && isatty(STDIN_FILENO) != 0;
}

Result<std::string> read_answer(const cluster::Session& session) {
  pollfd input{STDIN_FILENO, POLLIN, 0};
  do {
    if (Status ended = session.check_interrupted(); !ended.ok()) {
      return std::move(ended).error().with("changed", "nothing");
    }
  } while (poll(&input, 1, 100) <= 0);
  std::string answer;
  std::getline(std::cin, answer);
  return answer;
}

Status ask_to_go_on(const cluster::Session& session) {
  std::fprintf(stderr, "Go on? [y/N] ");
  auto answer = read_answer(session);
  if (!answer.ok()) return std::move(answer).error();
  const std::string_view word = trim(*answer);
  if (word == "y" || word == "Y" || word == "yes") return {};
  return Error(Code::kNeedsYes, "not done, as you said").with("changed", "nothing");
}

Status want_yes(const Context& context, const cluster::Session& session, const Error& refused) {
  if (context.line.has("--yes")) return {};
  if (!can_ask(context)) return refused;
  return ask_to_go_on(session);
}

}  // namespace pgb::cli
