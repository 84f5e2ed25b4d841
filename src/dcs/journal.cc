#include "dcs/journal.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "base/log.h"
#include "os/file.h"

namespace pgb::dcs {
namespace {

constexpr std::string_view kMagic = "pgbdcs1\n";
constexpr size_t kStart = 16;  // magic and number of the first record
constexpr size_t kHeader = 8;  // length and checksum
constexpr size_t kNumber = 8;
constexpr size_t kMostBytes = 1u << 30;  // of the file: far above what one that is written anew now and then reaches

constexpr std::array<uint32_t, 256> crc_table() {
  std::array<uint32_t, 256> table = {};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t value = i;
    for (int bit = 0; bit < 8; ++bit) value = (value >> 1) ^ ((value & 1) != 0 ? 0xEDB88320u : 0);
    table[i] = value;
  }
  return table;
}

uint32_t crc32(std::string_view bytes) {
  static constexpr std::array<uint32_t, 256> kTable = crc_table();
  uint32_t value = 0xFFFFFFFFu;
  for (const char c : bytes) value = kTable[(value ^ static_cast<unsigned char>(c)) & 0xFF] ^ (value >> 8);
  return ~value;
}

template <class T>
void put(std::string& out, T value) {
  for (size_t i = 0; i < sizeof value; ++i) out.push_back(static_cast<char>(value >> (8 * i)));
}

template <class T>
T get(std::string_view bytes, size_t at) {
  T value = 0;
  for (size_t i = sizeof value; i-- > 0;)
    value = static_cast<T>(value << 8) | static_cast<unsigned char>(bytes[at + i]);
  return value;
}

std::string framed(uint64_t number, std::string_view record) {
  std::string body;
  put(body, number);
  body += record;
  std::string out;
  put(out, static_cast<uint32_t>(body.size()));
  put(out, crc32(body));
  return out + body;
}

std::string start_of_file(uint64_t first) {
  std::string out(kMagic);
  put(out, first);
  return out;
}

// The length of the whole record `number` at this place; 0 if there is none.
size_t record_at(std::string_view bytes, size_t at, uint64_t number) {
  if (bytes.size() - at < kHeader + kNumber) return 0;
  const auto length = get<uint32_t>(bytes, at);
  if (length < kNumber || length > bytes.size() - at - kHeader) return 0;
  if (get<uint64_t>(bytes, at + kHeader) != number) return 0;
  if (crc32(bytes.substr(at + kHeader, length)) != get<uint32_t>(bytes, at + 4)) return 0;
  return kHeader + length;
}

// Each record was durable before the next was begun: one that can be read behind a bad one shows that the bad one is
// no torn write.
bool has_record_behind(std::string_view bytes, size_t at, uint64_t number) {
  for (size_t i = at + 1; i + kHeader + kNumber <= bytes.size(); ++i) {
    if (record_at(bytes, i, number) != 0) return true;
  }
  return false;
}

Status write_all(int fd, std::string_view bytes, uint64_t at, const std::string& path) {
  while (!bytes.empty()) {
    const ssize_t n = ::pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(at));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return os::errno_error("write", path, errno);
    bytes.remove_prefix(static_cast<size_t>(n));
    at += static_cast<uint64_t>(n);
  }
  return Status();
}

}  // namespace

Result<LogScan> scan_log(std::string_view bytes, const std::function<Status(std::string_view)>& replay) {
  if (bytes.size() < kStart || bytes.substr(0, kMagic.size()) != kMagic) {
    return Error(Code::kIo, "this is no lease log of this version: it begins with other bytes");
  }
  const auto first = get<uint64_t>(bytes, kMagic.size());
  LogScan scan{kStart, first};
  while (scan.good < bytes.size()) {
    const size_t length = record_at(bytes, scan.good, scan.next);
    if (length == 0) break;
    PGB_TRY(replay(bytes.substr(scan.good + kHeader + kNumber, length - kHeader - kNumber)));
    scan.good += length;
    ++scan.next;
  }
  // A log that was written anew has its first record since it exists.
  const bool lost_first = first != 1 && scan.next == first;
  const bool torn = scan.good < bytes.size() && !has_record_behind(bytes, scan.good, scan.next + 1);
  if (!lost_first && (torn || scan.good == bytes.size())) return scan;
  return Error(Code::kIo,
               "the record at byte " + std::to_string(scan.good) + " is damaged, and not by a write that never ended")
      .with("try", "put the file back from a copy, or move it away and begin with an empty store");
}

Result<Journal> Journal::open(const std::string& directory, const std::function<Status(std::string_view)>& replay) {
  PGB_TRY(os::make_dirs(directory, 0700));
  auto lock = os::LockFile::acquire(directory + "/leases.lock", "the lease store");
  if (!lock) return std::move(lock).error();
  Journal journal(directory + "/leases.log", std::move(*lock));
  if (!os::exists(journal.path_)) PGB_TRY(os::write_file_atomic(journal.path_, start_of_file(1), 0600));
  auto bytes = os::read_file(journal.path_, kMostBytes);
  if (!bytes) return std::move(bytes).error();
  auto scan = scan_log(*bytes, replay);
  if (!scan) return std::move(scan).error().in(journal.path_);
  journal.next_ = scan->next;
  PGB_TRY(journal.reopen());
  if (scan->good < bytes->size()) {
    log::warn(journal.path_ + ": cut off " + std::to_string(bytes->size() - scan->good) +
              " bytes of a write that never ended");
  }
  PGB_TRY(journal.cut(scan->good));
  return journal;
}

Status Journal::reopen() {
  fd_.reset(::open(path_.c_str(), O_WRONLY | O_CLOEXEC));
  return fd_ ? Status() : os::errno_error("open", path_, errno);
}

Status Journal::cut(uint64_t size) {
  if (::ftruncate(fd_.get(), static_cast<off_t>(size)) != 0) return os::errno_error("truncate", path_, errno);
  size_ = size;
  return Status();
}

Status Journal::append(std::string_view record) {
  if (broken_) return Error(Code::kIo, path_ + ": an earlier write failed, and the log could not be written anew");
  const std::string bytes = framed(next_, record);
  if (Status written = write_all(fd_.get(), bytes, size_, path_); !written.ok()) {
    if (Status back = cut(size_); !back.ok()) {
      broken_ = true;
      return Error(Code::kInDoubt, written.error().message + "; " + back.error().message);
    }
    return written;
  }
  if (::fdatasync(fd_.get()) != 0) {
    broken_ = true;
    return Error(Code::kInDoubt, os::errno_error("fdatasync", path_, errno).message);
  }
  size_ += bytes.size();
  ++next_;
  return Status();
}

Status Journal::rewrite(std::string_view record) {
  const std::string bytes = start_of_file(next_) + framed(next_, record);
  if (Status written = os::write_file_atomic(path_, bytes, 0600); !written.ok()) {
    // It may have failed after the new file had taken the name: what we would append to has none then.
    broken_ = broken_ || !is_at_path();
    return written;
  }
  broken_ = true;  // until we write to the new file
  PGB_TRY(reopen());
  size_ = bytes.size();
  ++next_;
  broken_ = false;
  return Status();
}

bool Journal::is_at_path() const {
  struct stat ours = {};
  struct stat there = {};
  return ::fstat(fd_.get(), &ours) == 0 && ::stat(path_.c_str(), &there) == 0 && ours.st_ino == there.st_ino;
}

}  // namespace pgb::dcs
