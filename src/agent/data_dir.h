// What stands in the data directory, and whose it is. The state file lies beside PGDATA, so that it
// shares the volume's fate; it is written before each step that it describes.
#pragma once

#include <string>

#include "base/result.h"

namespace pgb::agent {

enum class DataStage {
  kEmpty,        // nothing there
  kMaking,       // we began to fill it and were cut off: ours to wipe
  kInitialised,  // initdb is done, roles and init SQL are not
  kReady,        // a whole server of ours
  kForeign,      // somebody else's files: never touched
};

class DataDir {
 public:
  explicit DataDir(std::string data_dir);

  const std::string& path() const { return data_dir_; }
  std::string passfile() const { return parent_ + "/replication.pgpass"; }
  std::string parent() const { return parent_; }

  DataStage look() const;
  Status set_stage(DataStage stage) const;  // durable when it returns

  // Removes PGDATA. Only after look() said kMaking; kForeign (touching nothing) otherwise.
  Status wipe_unfinished() const;

 private:
  std::string data_dir_, parent_, state_file_;
};

}  // namespace pgb::agent
