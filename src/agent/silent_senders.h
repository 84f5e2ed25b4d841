// Standbys that stream, but say nothing any more: frozen, or cut off.
#pragma once

#include <string>
#include <vector>

#include "base/deadline.h"
#include "pgclient/connection.h"

namespace pgb::agent {

// A clean stop waits until each standby that streams has confirmed all WAL. Ends the walsenders of those of `names`
// that have not confirmed what there is now and say nothing for `silence`; one that was only slow comes back by itself.
// Returns at once if all have confirmed. Wants a superuser's connection.
Status end_silent_senders(pgclient::Connection& connection, const std::vector<std::string>& names,
                          std::chrono::milliseconds silence);

}  // namespace pgb::agent
