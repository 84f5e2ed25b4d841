#include "cluster/lineage.h"

#include <cstdlib>

#include "base/strings.h"

namespace pgb::cluster {

bool Lineage::has(uint64_t on_timeline, uint64_t lsn) const {
  constexpr uint64_t kCommitRecord = 24;  // the least that one takes
  if (on_timeline == timeline) return true;
  const auto end = ends.find(on_timeline);
  return end != ends.end() && lsn + kCommitRecord <= end->second;
}

Lineage parse_lineage(uint64_t timeline, const std::string& history) {
  Lineage lineage;
  lineage.timeline = timeline;
  for (const std::string& line : split(history, '\n')) {
    const std::string_view row = trim(line);
    const size_t gap = row.find_first_of(" \t");
    if (row.empty() || row[0] == '#' || gap == std::string_view::npos) continue;
    const std::string_view rest = trim(row.substr(gap));
    const auto number = parse_u64(row.substr(0, gap));
    const auto end = parse_lsn(rest.substr(0, rest.find_first_of(" \t")));
    if (number && end) lineage.ends[*number] = *end;
  }
  return lineage;
}

}  // namespace pgb::cluster
