#include "os/mounts.h"

#include "base/strings.h"
#include "os/file.h"

namespace pgb::os {
namespace {

// Blanks, tabs, line ends and backslashes are written as "\040".
std::string unescape(const std::string& text) {
  std::string plain;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto digit = [&](size_t place) { return text[i + place] >= '0' && text[i + place] <= '7'; };
    if (text[i] == '\\' && i + 3 < text.size() && digit(1) && digit(2) && digit(3)) {
      plain += static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + (text[i + 3] - '0'));
      i += 3;
    } else {
      plain += text[i];
    }
  }
  return plain;
}

bool holds(std::string_view point, std::string_view path) {
  if (point == "/" || point == path) return true;
  return path.size() > point.size() && path.substr(0, point.size()) == point && path[point.size()] == '/';
}

}  // namespace

std::vector<Mount> parse_mounts(std::string_view mountinfo) {
  constexpr size_t kDevice = 2, kRoot = 3, kPoint = 4;
  std::vector<Mount> found;
  for (const std::string& line : split(mountinfo, '\n')) {
    const std::vector<std::string> fields = split(line, ' ');
    if (fields.size() <= kPoint) continue;
    found.push_back({fields[kDevice], unescape(fields[kRoot]), unescape(fields[kPoint])});
  }
  return found;
}

Result<std::vector<Mount>> mounts() {
  auto text = read_file("/proc/self/mountinfo");
  if (!text.ok()) return std::move(text).error();
  return parse_mounts(*text);
}

// Of two that stand at the same place the later one is seen.
const Mount* mount_of(const std::vector<Mount>& mounts, std::string_view path) {
  const Mount* deepest = nullptr;
  for (const Mount& mount : mounts) {
    const bool deeper = deepest == nullptr || mount.point.size() >= deepest->point.size();
    if (deeper && holds(mount.point, path)) deepest = &mount;
  }
  return deepest;
}

}  // namespace pgb::os
