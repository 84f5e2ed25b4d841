#include "agent/wal_room.h"

#include <algorithm>

#include "os/file.h"

namespace pgb::agent {
namespace {

constexpr uint64_t kStep = 16 << 20;
constexpr uint64_t kLeast = 64 << 20;
constexpr uint64_t kMost = uint64_t{64} << 30;

// With a "." behind it is the directory itself, also where it is a symbolic link to one.
std::string wal_dir(const std::string& data_dir) { return data_dir + "/pg_wal/."; }

}  // namespace

uint64_t slot_wal_limit(uint64_t free, uint64_t wal) {
  return std::clamp((free + wal) / 2 / kStep * kStep, kLeast, kMost);
}

std::optional<uint64_t> slot_wal_limit_of(const std::string& data_dir) {
  const auto free = os::free_bytes(wal_dir(data_dir)), wal = os::tree_size(wal_dir(data_dir));
  return free.ok() && wal.ok() ? std::optional(slot_wal_limit(*free, *wal)) : std::nullopt;
}

bool is_other_limit(uint64_t set, uint64_t now) { return (set > now ? set - now : now - set) > set / 8; }

std::optional<uint64_t> free_for_server(const std::string& data_dir) {
  const auto data = os::free_bytes(data_dir), wal = os::free_bytes(wal_dir(data_dir));
  if (!data.ok() || !wal.ok()) return std::nullopt;
  return std::min(*data, *wal);
}

}  // namespace pgb::agent
