#include "runtime/runtime.h"

namespace pgb::runtime {

Obstacle Obstacle::taken_port(const std::string& unit, uint16_t port, Error error) {
  Obstacle obstacle(std::move(error).in(unit));
  obstacle.unit = unit;
  if (obstacle.code != Code::kPortInUse) return obstacle;  // the address is not one of ours
  obstacle.port = port;
  for (const auto& [label, text] : obstacle.details) {
    if (label == "held by") obstacle.held_by = text;
  }
  return obstacle;
}

}  // namespace pgb::runtime
