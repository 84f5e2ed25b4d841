#include "model/pool_config.h"

namespace pgb::model {

PoolConflict conflict_in(const PoolConfig& config) {
  if (config.min_pool_size <= config.pool_size) return {};
  return {"min_pool_size", "must not be more than pool_size, which is " + std::to_string(config.pool_size)};
}

PoolConflict conflict_in(const PoolConfig& config, const std::vector<PoolEntry>& entries, size_t at) {
  const PoolEntry& entry = entries[at];
  if (entry.database.empty() && entry.user.empty()) return {"database", "must be given, or a user, or both"};
  bool says_something = false;
  each_pool_entry_key(entry, [&](const char*, const auto& value) { says_something = says_something || value; });
  if (!says_something) return {"pool_size", "must be given, or another key that shall be different here"};
  for (size_t i = 0; i < at; ++i) {
    const bool names_nobody = entries[i].database.empty() && entries[i].user.empty();  // a mistake of its own
    const bool covered = !names_nobody && (entries[i].database.empty() || entries[i].database == entry.database) &&
                         (entries[i].user.empty() || entries[i].user == entry.user);
    if (covered) return {"database", "never counts: pools[" + std::to_string(i) + "] fits, too, and stands before it"};
  }
  PoolConfig here = config;
  here.pool_size = entry.pool_size.value_or(here.pool_size);
  here.min_pool_size = entry.min_pool_size.value_or(here.min_pool_size);
  PoolConflict conflict = conflict_in(here);
  if (!conflict.key.empty() && !entry.min_pool_size) {
    return {"pool_size", "must not be less than min_pool_size, which is " + std::to_string(here.min_pool_size)};
  }
  return conflict;
}

}  // namespace pgb::model
