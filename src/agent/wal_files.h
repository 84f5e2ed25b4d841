// What a data directory tells about its WAL without asking the server.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "ha/view.h"

namespace pgb::agent {

// The history of `timeline` from its file in pg_wal, oldest first, itself last. Empty if the file is not there.
std::vector<ha::Fork> read_history(const std::string& data_dir, ha::Timeline timeline);
// From the text of such a file.
std::vector<ha::Fork> parse_history(const std::string& text, ha::Timeline timeline);

// The history of WAL that ends at `lsn`: what a segment of a timeline holds from before that began is its parent's.
std::vector<ha::Fork> history_until(std::vector<ha::Fork> history, ha::Lsn lsn);

// The last sixteen digits of the name of the segment that `lsn` is in.
std::string segment_of(ha::Lsn lsn, uint64_t segment_size);

// The timeline of the WAL before `lsn`: the highest of the segments on disk that hold it and have a history. 0: none
// does.
ha::Timeline timeline_at(const std::string& data_dir, ha::Lsn lsn, uint64_t segment_size);

// So that a promotion chooses exactly `timeline`, each number below it down to the first gap above `current` gets a
// history file without a history, where there is none. Numbers have holes: one that nobody knows of may be in use.
Status lay_histories(const std::string& data_dir, ha::Timeline current, ha::Timeline timeline);

// Takes away what lay_histories() left for a promotion that broke off. A standby takes the newest number for the
// timeline it has to reach, and does not start where that one has no history.
Status drop_laid_histories(const std::string& data_dir);

// What pg_controldata says of a server that does not run.
struct ControlData {
  std::string system_id;
  std::string state;  // "shut down", "shut down in recovery", "in production", …
  ha::Lsn checkpoint = 0, redo = 0;
  ha::Timeline timeline = 0;  // of the checkpoint
  uint64_t segment_size = 16 << 20;
};
Result<ControlData> read_control_data(const std::string& bin_dir, const std::string& data_dir);  // kTool
Result<ControlData> parse_control_data(const std::string& text);                                 // kProtocol

}  // namespace pgb::agent
