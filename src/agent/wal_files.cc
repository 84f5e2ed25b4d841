#include "agent/wal_files.h"

#include <fmt/format.h>

#include <algorithm>

#include "agent/tool.h"
#include "base/strings.h"
#include "os/file.h"

namespace pgb::agent {

namespace {

// What pg_controldata says before it prints what stands there all the same.
constexpr const char* kDamaged = "CRC checksum does not match";

std::string history_file(const std::string& data_dir, ha::Timeline timeline) {
  return fmt::format("{}/pg_wal/{:08X}.history", data_dir, timeline);
}

// A promotion makes its first segment before its history: one that broke off leaves a segment of a timeline that never
// was.
bool has_begun(const std::string& data_dir, ha::Timeline timeline) {
  return timeline == 1 || read_history(data_dir, timeline).size() > 1;
}

}  // namespace

// Each line is a timeline, where it ended, and why; lines that begin with # say nothing.
std::vector<ha::Fork> parse_history(const std::string& text, ha::Timeline timeline) {
  std::vector<ha::Fork> forks;
  ha::Lsn begin = 0;
  for (const std::string& line : split(text, '\n')) {
    const std::string_view row = trim(line);
    if (row.empty() || row[0] == '#') continue;
    const size_t gap = row.find_first_of(" \t");
    if (gap == std::string_view::npos) continue;
    const std::string_view rest = trim(row.substr(gap));
    const auto parent = parse_u64(row.substr(0, gap));
    const auto end = parse_lsn(std::string(rest.substr(0, rest.find_first_of(" \t"))));
    if (!parent || !end) continue;
    forks.push_back({static_cast<ha::Timeline>(*parent), begin});
    begin = *end;
  }
  forks.push_back({timeline, begin});
  return forks;
}

std::vector<ha::Fork> read_history(const std::string& data_dir, ha::Timeline timeline) {
  if (timeline == 0) return {};
  if (timeline == 1) return {{1, 0}};
  const auto text = os::read_file(history_file(data_dir, timeline), 1 << 20);
  return text.ok() ? parse_history(*text, timeline) : std::vector<ha::Fork>{};
}

std::vector<ha::Fork> history_until(std::vector<ha::Fork> history, ha::Lsn lsn) {
  while (history.size() > 1 && history.back().begin > lsn) history.pop_back();
  return history;
}

std::string segment_of(ha::Lsn lsn, uint64_t segment_size) {
  const uint64_t segment = lsn / segment_size, per_log = (uint64_t{1} << 32) / segment_size;
  return fmt::format("{:08X}{:08X}", segment / per_log, segment % per_log);
}

ha::Timeline timeline_at(const std::string& data_dir, ha::Lsn lsn, uint64_t segment_size) {
  constexpr size_t kNameLength = 24;
  if (lsn == 0 || segment_size == 0) return 0;
  const auto names = os::list_dir(data_dir + "/pg_wal");
  if (!names.ok()) return 0;
  const std::string wanted = segment_of(lsn - 1, segment_size);
  ha::Timeline highest = 0;
  for (const std::string& name : *names) {
    if (name.size() != kNameLength || name.compare(8, std::string::npos, wanted) != 0) continue;
    const auto timeline = parse_hex(std::string_view(name).substr(0, 8));
    if (timeline && *timeline > highest && has_begun(data_dir, *timeline)) highest = *timeline;
  }
  return highest;
}

Status lay_histories(const std::string& data_dir, ha::Timeline current, ha::Timeline timeline) {
  for (ha::Timeline number = current + 1; number < timeline; ++number) {
    const std::string file = history_file(data_dir, number);
    if (os::exists(file)) continue;
    PGB_TRY(os::write_file_atomic(file, "# promised to another node, or never used\n", 0600));
  }
  return {};
}

Status drop_laid_histories(const std::string& data_dir) {
  const std::string suffix = ".history";
  std::vector<ha::Timeline> numbers;
  auto names = os::list_dir(data_dir + "/pg_wal");
  if (!names.ok()) return std::move(names).error();
  for (const std::string& name : *names) {
    if (name.size() != 8 + suffix.size() || !name.ends_with(suffix)) continue;
    const auto number = parse_hex(std::string_view(name).substr(0, 8));
    if (number) numbers.push_back(static_cast<ha::Timeline>(*number));
  }
  std::sort(numbers.rbegin(), numbers.rend());
  for (const ha::Timeline number : numbers) {
    if (has_begun(data_dir, number)) break;
    PGB_TRY(os::remove_tree(history_file(data_dir, number)));
  }
  return {};
}

Result<ControlData> parse_control_data(const std::string& text) {
  ControlData data;
  if (text.find(kDamaged) != std::string::npos) return Error(Code::kProtocol, "the control file is damaged");
  for (const std::string& line : split(text, '\n')) {
    const size_t colon = line.find(':');
    if (colon == std::string::npos) continue;
    const std::string name = line.substr(0, colon);
    const std::string value(trim(std::string_view(line).substr(colon + 1)));
    if (name == "Database system identifier") data.system_id = value;
    if (name == "Database cluster state") data.state = value;
    if (name == "Latest checkpoint location") data.checkpoint = parse_lsn(value).value_or(0);
    if (name == "Latest checkpoint's REDO location") data.redo = parse_lsn(value).value_or(0);
    if (name == "Latest checkpoint's TimeLineID")
      data.timeline = static_cast<ha::Timeline>(parse_u64(value).value_or(0));
    if (name == "Bytes per WAL segment") data.segment_size = parse_u64(value).value_or(0);
  }
  if (data.system_id.empty() || data.state.empty() || data.checkpoint == 0 || data.segment_size == 0) {
    return Error(Code::kProtocol, "pg_controldata's answer is not whole");
  }
  return data;
}

Result<ControlData> read_control_data(const std::string& bin_dir, const std::string& data_dir) {
  std::string text;
  PGB_TRY(run_tool({bin_dir + "/pg_controldata", "-D", data_dir}, {}, Deadline::after(std::chrono::seconds(5)), &text));
  return parse_control_data(text);
}

}  // namespace pgb::agent
