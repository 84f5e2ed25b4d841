// What a cluster that stands does not take from an edited file.
#pragma once

#include "cluster/units.h"

namespace pgb::cluster {

// "changed: nothing", and the ways out: `back`, or a new cluster.
Error contradiction(const std::string& what, const std::string& back);

// kConfig where the file turns round what `recorded` has settled: its groups and first primaries for good, ports,
// addresses and who chooses the primary as long as a unit of `existing` runs. Touches nothing.
Status check_against_record(const model::Cluster& wanted, const model::Cluster& recorded, const UnitMap& existing);

}  // namespace pgb::cluster
