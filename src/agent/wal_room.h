// How much WAL a server keeps for members that are away: by the room that its disk has, unless the user says.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace pgb::agent {

inline constexpr char kSlotWalParameter[] = "max_slot_wal_keep_size";
inline constexpr uint64_t kSlotWal = uint64_t{1} << 30;  // where nobody looks at the room

// `free` bytes are left where the WAL lies, `wal` are taken by it already: half of both together, so that what slots
// hold fills no disk, in whole 16 MB. At least 64 MB, which a short absence needs; at most 64 GB, beyond which a copy
// is quicker than to read all that.
uint64_t slot_wal_limit(uint64_t free, uint64_t wal);

// The same of the server with this data directory, whose pg_wal may lie elsewhere. Nothing: it cannot be asked.
std::optional<uint64_t> slot_wal_limit_of(const std::string& data_dir);

// Whether `now` is another limit than `set` to a degree that is worth a reload: an eighth.
bool is_other_limit(uint64_t set, uint64_t now);

// Bytes for users that are left to a server: where its data or its WAL lie, whichever has less. Nothing: it cannot be
// asked.
std::optional<uint64_t> free_for_server(const std::string& data_dir);

}  // namespace pgb::agent
