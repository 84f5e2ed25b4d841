// The agent: runs one PostgreSQL server. Written to be process 1 of a container.
#include <cstdio>
#include <cstring>
#include <string>

#include "agent/agent.h"

int main(int argc, char** argv) {
  std::string file;
  bool health = false;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--config") == 0 && i + 1 < argc) {
      file = argv[++i];
    } else if (std::strcmp(argv[i], "--health") == 0) {
      health = true;
    } else if (std::strcmp(argv[i], "--version") == 0) {
      return std::printf("pgbalancer_agent %s\n", PGB_VERSION) < 0;
    } else {
      file.clear();
      break;
    }
  }
  if (file.empty()) {
    std::fprintf(stderr, "usage: pgbalancer_agent --config agent.json [--health]\n       pgbalancer_agent --version\n");
    return 2;
  }
  const auto config = pgb::agent::load_agent_config(file);
  if (!config.ok()) {
    std::fprintf(stderr, "pgbalancer_agent: %s\n", config.error().message.c_str());
    return 3;
  }
  return health ? pgb::agent::health(*config) : pgb::agent::run(*config);
}
