// From a validated document to a cluster with every default filled in.
#pragma once

#include "model/json_document.h"
#include "model/topology.h"

namespace pgb::model {

// Reads the usable values of `root`, takes `defaults` for what is not there and adds the mistakes that only show when
// values are compared: things given twice, addresses outside the subnet, half a TLS setup.
Cluster read_cluster(const JsonValue& root, const Defaults& defaults, Mistakes& mistakes);

}  // namespace pgb::model
