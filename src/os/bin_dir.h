// Finds the PostgreSQL server programs of this machine.
#pragma once

#include <string>

#include "base/result.h"

namespace pgb::os {

// The directory that holds postgres, initdb, pg_basebackup, pg_rewind and pg_controldata: `wanted` if it is not
// empty, else the newest /usr/lib/postgresql/*/bin (or /usr/pgsql-*/bin), else what pg_config tells, else PATH.
// kNoPostgres with what was looked at.
Result<std::string> find_bin_dir(const std::string& wanted);

}  // namespace pgb::os
