#include "model/pool_config.h"

namespace pgb::model {

PoolConflict conflict_in(const PoolConfig& config) {
  if (config.min_pool_size <= config.pool_size) return {};
  return {"min_pool_size", "must not be more than pool_size, which is " + std::to_string(config.pool_size)};
}

}  // namespace pgb::model
