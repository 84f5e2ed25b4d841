// Runs schedules from a seed on, or replays one with all that happens.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "ha/testing/world.h"
#include "ha/transitions.h"

using namespace pgb::ha::testing;

namespace {

struct Arguments {
  uint64_t first = 1;
  uint64_t schedules = 10'000;
  Options options;
};

bool parse(int argc, char** argv, Arguments& to) {
  for (int i = 1; i + 1 < argc; i += 2) {
    std::string name = argv[i];
    if (name == "--schedules") {
      to.schedules = std::strtoull(argv[i + 1], nullptr, 10);
    } else if (name == "--first") {
      to.first = std::strtoull(argv[i + 1], nullptr, 10);
    } else if (name == "--seed") {
      to.first = std::strtoull(argv[i + 1], nullptr, 10);
      to.schedules = 1;
      to.options.trace = true;
    } else if (name == "--mutation") {
      for (int m = 0; m < kMutations; ++m) {
        if (to_string(static_cast<Mutation>(m)) == argv[i + 1]) to.options.mutation = static_cast<Mutation>(m);
      }
    } else if (name == "--rare") {
      to.options.rare = std::strcmp(argv[i + 1], "yes") == 0;
    } else {
      return false;
    }
  }
  return argc % 2 == 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 2 && std::strcmp(argv[1], "--diagram") == 0) {
    std::fputs(pgb::ha::state_diagram().c_str(), stdout);
    return 0;
  }
  std::setvbuf(stdout, nullptr, _IOLBF, 0);  // a failure is seen when it is found
  Arguments arguments;
  if (!parse(argc, argv, arguments)) {
    std::fprintf(
        stderr,
        "usage: ha_simulate [--schedules N] [--first SEED] [--seed SEED] [--rare yes] [--mutation NAME] | --diagram\n");
    return 2;
  }
  uint64_t failed = 0;
  size_t acknowledged = 0;
  size_t epochs = 0;
  size_t lossy = 0;
  std::set<std::pair<pgb::ha::State, pgb::ha::Event>> rows;
  for (uint64_t n = 0; n < arguments.schedules; ++n) {
    arguments.options.seed = arguments.first + n;
    Outcome outcome = World(arguments.options).run();
    acknowledged += outcome.acknowledged;
    epochs += outcome.epochs;
    lossy += outcome.lossy;
    rows.merge(outcome.rows);
    if (outcome.violations.empty()) continue;
    ++failed;
    std::printf("%s\n  %s\n  replay: ha_simulate --seed %llu%s\n", outcome.setup.c_str(),
                outcome.violations[0].text.c_str(), static_cast<unsigned long long>(arguments.options.seed),
                arguments.options.rare ? " --rare yes" : "");
  }
  std::printf("%llu schedules, %llu failed; %zu commits acknowledged, %zu epochs, %zu forced with loss allowed\n",
              static_cast<unsigned long long>(arguments.schedules), static_cast<unsigned long long>(failed),
              acknowledged, epochs, lossy);
  for (const auto& row : pgb::ha::transitions()) {
    if (rows.contains({row.from, row.event})) continue;
    std::printf("row not met: %s, %s\n", std::string(to_string(row.from)).c_str(), std::string(row.text).c_str());
  }
  return failed == 0 ? 0 : 1;
}
