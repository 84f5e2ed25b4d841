#include "runtime/process_log.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/strings.h"
#include "os/file.h"
#include "os/unique_fd.h"

namespace pgb::runtime {
namespace {

constexpr size_t kMostText = 16u << 20;  // in one answer

struct Log {
  os::UniqueFd fd;  // none: there is no such file
  ino_t inode = 0;
  off_t size = 0;

  std::string cursor(off_t at) const { return std::to_string(inode) + ":" + std::to_string(at); }
};

Result<Log> open_log(const std::string& path) {
  Log log;
  log.fd = os::UniqueFd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!log.fd && errno == ENOENT) return log;
  struct stat info {};
  if (!log.fd || ::fstat(log.fd.get(), &info) != 0) return os::errno_error("read", path, errno);
  log.inode = info.st_ino;
  log.size = info.st_size;
  return log;
}

Result<std::string> read_block(const Log& log, const std::string& path, off_t at, off_t size) {
  std::string block(static_cast<size_t>(size), '\0');
  const ssize_t n = ::pread(log.fd.get(), block.data(), block.size(), at);
  if (n < 0) return os::errno_error("read", path, errno);
  block.resize(static_cast<size_t>(n));
  return block;
}

// From `at` on, as far as one answer goes.
Result<LogText> read_from(const Log& log, const std::string& path, off_t at) {
  const off_t size = std::min<off_t>(std::max<off_t>(log.size - at, 0), kMostText);
  auto block = read_block(log, path, at, size);
  if (!block.ok()) return std::move(block).error();
  const off_t end = at + static_cast<off_t>(block->size());
  return LogText{std::move(*block), log.cursor(end)};
}

}  // namespace

Result<LogText> last_lines(const std::string& path, int lines) {
  auto log = open_log(path);
  if (!log.ok()) return std::move(log).error();
  if (!log->fd) return LogText{"", "0:0"};
  off_t at = log->size;
  std::string text;
  constexpr off_t kBlock = 65536;
  while (at > 0 && std::count(text.begin(), text.end(), '\n') <= lines && text.size() < kMostText) {
    const off_t size = std::min(kBlock, at);
    at -= size;
    auto block = read_block(*log, path, at, size);
    if (!block.ok()) return std::move(block).error();
    text.insert(0, *block);
  }
  size_t cut = text.size();
  if (cut > 0 && text[cut - 1] == '\n') --cut;
  for (int seen = 0; cut > 0; --cut) {
    if (text[cut - 1] == '\n' && ++seen >= lines) break;
  }
  return LogText{lines <= 0 ? std::string() : text.substr(cut), log->cursor(log->size)};
}

Result<LogText> lines_after(const std::string& path, const std::string& old, const std::string& cursor) {
  const std::vector<std::string> parts = split(cursor, ':');
  const auto inode = parts.size() == 2 ? parse_u64(parts[0]) : std::nullopt;
  const auto offset = parts.size() == 2 ? parse_u64(parts[1]) : std::nullopt;
  if (!inode || !offset) return Error(Code::kInternal, "'" + cursor + "' is no place in a log");
  auto log = open_log(path);
  if (!log.ok()) return std::move(log).error();
  if (log->fd && log->inode == *inode) return read_from(*log, path, static_cast<off_t>(*offset));
  auto before = open_log(old);
  if (before.ok() && before->fd && before->inode == *inode && static_cast<off_t>(*offset) < before->size) {
    return read_from(*before, old, static_cast<off_t>(*offset));  // its end; the new file is next
  }
  if (!log->fd) return LogText{"", cursor};
  return read_from(*log, path, 0);
}

}  // namespace pgb::runtime
