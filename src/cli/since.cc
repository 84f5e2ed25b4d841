#include "cli/since.h"

#include "base/strings.h"

namespace pgb::cli {

std::optional<std::string> since_text(const std::string& since, std::time_t now) {
  if (since.empty()) return "";
  if (since.size() >= 10 && since[4] == '-' && since[7] == '-') return since;
  const auto ago = parse_duration_ms(since);
  if (!ago) return std::nullopt;
  const std::time_t at = now - static_cast<std::time_t>(*ago / 1000);
  std::tm utc{};
  if (gmtime_r(&at, &utc) == nullptr) return std::nullopt;
  char text[64];
  return std::string(text, std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &utc));
}

Error no_time(const std::string& since) {
  return Error(Code::kUsage, "--since " + since + " is no time")
      .with("try", "--since 10m, or --since 2026-01-31T12:00");
}

}  // namespace pgb::cli
