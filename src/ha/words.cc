#include "ha/words.h"

#include <fmt/format.h>

namespace pgb::ha {

std::string to_text(Lsn lsn) { return fmt::format("{:X}/{:X}", lsn >> 32, lsn & 0xFFFFFFFF); }

std::string to_text(const Position& position) {
  return fmt::format("{} on timeline {}", to_text(position.lsn), position.timeline);
}

std::string bytes(uint64_t number) {
  if (number < 10240) return fmt::format("{} bytes", number);
  if (number < 10240ULL << 10) return fmt::format("{} kB", number >> 10);
  return fmt::format("{} MB", number >> 20);
}

std::string seconds(Duration time) { return fmt::format("{:.1f} s", static_cast<double>(time.count()) / 1000); }

}  // namespace pgb::ha
