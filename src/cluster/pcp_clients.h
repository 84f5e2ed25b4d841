// The pcp_* commands of pgpool-II on this machine.
#pragma once

#include <string>

namespace pgb::cluster {

// "4.3" where they are of that version or an earlier one, whose words for a node's state differ; else, and where there
// are none, "4.4". Runs `pcp_node_info --version`; any thread.
std::string pcp_version_here();

}  // namespace pgb::cluster
