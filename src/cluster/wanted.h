// What the cluster file asks for.
#pragma once

#include <string>

#include "cluster/session.h"

namespace pgb::cluster {

// Takes `session.wanted` from the text of its file; what that does not say is as in the cluster's record, if there is
// one. Needs the file's name and the folder of the state, and no runtime. kConfig.
Status want(Session& session, const std::string& text);

}  // namespace pgb::cluster
