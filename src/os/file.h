// Files and directories. Failures are kIo (kDiskFull for ENOSPC, kNotFound where said) and name the
// path. Thread-safe: no state.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace pgb::os {

// The whole file; kNotFound if it is absent, kIo if it is longer than `limit` bytes.
Result<std::string> read_file(const std::string& path, size_t limit = 64u << 20);

// Replaces the file in one step (temporary file beside it, fsync, rename, fsync of the directory):
// readers and a power cut see the old or the new content. Never readable beyond `mode`, and never at
// that path with another owner than the given one (else: us).
struct Owner {
  uid_t uid;
  gid_t gid;
};
Status write_file_atomic(const std::string& path, std::string_view content, mode_t mode,
                         std::optional<Owner> owner = std::nullopt);

// As write_file_atomic, without waiting for the disk: a power cut may leave the old content, the new one or none. For
// what is written anew before it is needed again.
Status replace_file(const std::string& path, std::string_view content, mode_t mode);

// As write_file_atomic, for what has to be written even when the disk is full: into a spare beside it (`path`.spare)
// that took its room, `room` bytes, when this was last written; then they change places. Padded with spaces. The first
// time, or with more than `room` bytes, it needs room as everything does.
Status write_file_in_room(const std::string& path, std::string_view content, mode_t mode, size_t room);

// mkdir -p; new directories get exactly `mode`, existing ones are left alone.
Status make_dirs(const std::string& path, mode_t mode);

// rm -rf that never follows a symbolic link. Absent: success.
Status remove_tree(const std::string& path);

bool exists(const std::string& path);  // of any kind, a dangling symbolic link too

Result<uint64_t> tree_size(const std::string& path);   // bytes allocated to regular files below
Result<uint64_t> free_bytes(const std::string& path);  // for users; an absent path: its nearest parent

// Names in the directory, sorted, without "." and "..". kNotFound if it is absent.
Result<std::vector<std::string>> list_dir(const std::string& path);

// chown -hR: symbolic links themselves, not what they point to.
Status chown_tree(const std::string& path, uid_t uid, gid_t gid);

std::string self_exe_dir();  // the directory of the running program, without a last slash

// "verb path: strerror(err)" with the right code.
Error errno_error(std::string_view verb, std::string_view path, int err);

}  // namespace pgb::os
