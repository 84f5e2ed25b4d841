// A local unit on disk: <state_dir>/<cluster>/units/<name>/ with its files, unit.json (the mark that it is
// ours), log, pid and data/. Used by the process runtime only.
#pragma once

#include <optional>
#include <string>

#include "os/users.h"
#include "runtime/runtime.h"

namespace pgb::runtime {

// What unit.json says.
struct UnitRecord {
  UnitSpec::Kind kind = UnitSpec::Kind::kNode;
  std::string group;
  std::string spec_hash;
  std::map<uint16_t, uint16_t> ports;
};

class UnitDir {
 public:
  // kConfig if one of the names could lead out of the state directory.
  static Result<UnitDir> at(const std::string& state_dir, const std::string& cluster, const std::string& name);

  const std::string& path() const { return path_; }
  const std::string& name() const { return name_; }
  std::string file(const std::string& relative) const { return path_ + "/" + relative; }
  std::string pid_file() const { return file("pid"); }
  std::string log_file() const { return file("log"); }
  std::string data_dir() const { return file("data"); }

  // The record; nothing if there is no unit of ours here.
  std::optional<UnitRecord> record() const;
  bool unfinished() const;  // made by an init that was ended before it could write the mark
  bool kept() const;        // only its data is left, by remove with keep_data

  // kNameInUse if the directory exists without our mark.
  Status check_ours() const;

  // Makes the directory (0700, of the user) and the record unless they exist.
  Status create(const UnitSpec& unit, const std::optional<os::User>& run_as) const;

  // What the unit is started with from now on. Only while it does not run.
  Status write_record(const UnitSpec& unit) const;

  // Writes the files, 0600, of the user. kConfig if a name leads out of the directory.
  Status write_files(const std::vector<FileSpec>& files, const std::optional<os::User>& run_as) const;

  // Removes everything, or everything but the data and a mark that they were ours. Absent: success.
  Status remove(bool keep_data) const;

 private:
  UnitDir(std::string path, std::string name) : path_(std::move(path)), name_(std::move(name)) {}
  std::string path_;
  std::string name_;
};

// Can be one component of a path: no slash, no leading dot, not empty.
bool is_plain_name(const std::string& name);

}  // namespace pgb::runtime
