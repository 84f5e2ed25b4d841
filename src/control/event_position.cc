#include "control/event_position.h"

#include "base/strings.h"

namespace pgb::control {

std::string EventPosition::text() const { return run + "-" + std::to_string(event) + "-" + std::to_string(revision); }

EventPosition EventPosition::parse(std::string_view text) {
  const auto parts = split(text, '-');
  if (parts.size() != 3) return {};
  const auto event = parse_u64(parts[1]), revision = parse_u64(parts[2]);
  if (!event || !revision || *revision > INT64_MAX) return {};
  return {parts[0], *event, static_cast<int64_t>(*revision)};
}

}  // namespace pgb::control
