// Inside dcs only: an append-only file of records, each with its number and checksum, durable when append() returns.
//
//   "pgbdcs1\n", u64 number of the first record, then for each record:
//   u32 length, u32 crc32 of what follows, u64 number, length - 8 bytes
//
// All numbers are little-endian; record numbers grow by one. Not thread-safe.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "os/lock_file.h"
#include "os/unique_fd.h"

namespace pgb::dcs {

class Journal {
 public:
  // Opens or makes (0600) DIRECTORY/leases.log, alone: kBusy if another process has it. Gives every record to `replay`,
  // oldest first; its error ends the opening. What a crash left of the last record is cut off; damage before that is
  // kIo, and the file stays as it is.
  static Result<Journal> open(const std::string& directory, const std::function<Status(std::string_view)>& replay);

  // After kDiskFull or kIo the record is not in the file. After kInDoubt it may be, and so it is with the state after
  // a restart, until the next rewrite() succeeds; appends are refused up to then.
  Status append(std::string_view record);

  // Puts one record in place of all, in one step.
  Status rewrite(std::string_view record);

  uint64_t size() const { return size_; }  // bytes
  bool broken() const { return broken_; }  // only rewrite() helps

 private:
  Journal(std::string path, os::LockFile lock) : path_(std::move(path)), lock_(std::move(lock)) {}
  Status reopen();
  Status cut(uint64_t size);
  bool is_at_path() const;

  std::string path_;
  os::LockFile lock_;
  os::UniqueFd fd_;
  uint64_t size_ = 0;
  uint64_t next_ = 1;
  bool broken_ = false;
};

// For Journal and its tests. Reads the bytes of a log file; where it ends early, how much of it is good.
struct LogScan {
  uint64_t good = 0;  // bytes
  uint64_t next = 1;  // number of the next record
};
Result<LogScan> scan_log(std::string_view bytes, const std::function<Status(std::string_view)>& replay);

}  // namespace pgb::dcs
