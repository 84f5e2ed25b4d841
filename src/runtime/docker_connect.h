// Connects to the first engine that answers, and explains itself if none does.
#pragma once

#include "runtime/docker_client.h"
#include "runtime/docker_endpoint.h"

namespace pgb::runtime {

// kNoEngine with a "tried" line for each place, or kEngineDenied if a socket is there that we may not open.
Result<DockerClient> connect_to_engine(const DockerEnvironment& environment, const Trace& trace);

}  // namespace pgb::runtime
