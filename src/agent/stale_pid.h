// The lock file of a server that is gone.
#pragma once

#include <string>

#include "base/result.h"

namespace pgb::agent {

// postmaster.pid may name a number that somebody else has by now, in a container that was started again often one of
// our own threads; postgres would take that for its predecessor, and not start for ever. Where it does, our own number
// takes its place: postgres looks over its parent's, and still looks whether the old server's memory is in use. Nothing
// is done if there is no such file, or its number is nobody's, or that of the server of this directory.
Status disown_stale_pid(const std::string& data_dir);

}  // namespace pgb::agent
