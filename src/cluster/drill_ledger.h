// A table of its own in a schema of its own, in which every acknowledged commit of a drill stands.
#pragma once

#include <string>
#include <vector>

#include "cluster/group_store.h"
#include "cluster/writers.h"

namespace pgb::cluster {

class DrillLedger {
 public:
  explicit DrillLedger(const Group& group);

  Status make();  // through the balancer; what an earlier drill left is replaced
  // Until it is gone, or the deadline: on the primary, whoever that is.
  Status remove(Deadline deadline) const;
  Writers& writers() { return writers_; }

  // Of what was acknowledged: how much is not on that server.
  Result<uint64_t> missing_on(const model::Node& node) const;

 private:
  const Group& group_;
  Writers writers_;
};

}  // namespace pgb::cluster
