// What a server does, and why, as text.
#pragma once

#include <string>

#include "cluster/status.h"
#include "cluster/why.h"

namespace pgb::cli {

// What its agent says of it; null: `why` is none, or says nothing of it.
const api::Explanation::Member* said_of(const Result<cluster::WhyGroup>& why, const std::string& node);

// A sentence of the server, then, where they are known, a line of its agent and one of whether it may lead.
std::string render_why(const cluster::NodeStatus& node, const Result<cluster::WhyGroup>& why);

}  // namespace pgb::cli
