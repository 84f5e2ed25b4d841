// Servers and balancers as containers of a Docker Engine, spoken to over its API. Everything made carries
// labels (see docker_spec.h), and only what carries our cluster's label is ever changed or removed.
#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "runtime/docker_endpoint.h"
#include "runtime/runtime.h"

namespace pgb::runtime {

enum class Pull { kMissing, kAlways, kNever };  // when images are pulled

struct DockerOptions {
  std::string agent_binary_path;     // put into each server's container
  std::string balancer_binary_path;  // becomes the balancer's image
  std::string state_dir;             // for messages only: nothing is kept on this machine
  Pull pull = Pull::kMissing;
  Trace trace;  // may be called from several threads at once; may be empty
  DockerEnvironment environment = DockerEnvironment::of_process();
};

// Finds the engine (see docker_endpoint.h) and asks for its version. kNoEngine, with a "tried" line for each place,
// or kEngineDenied if a socket is there that we may not open. Thread-safe like every Runtime.
//
// ensure() on a container that does not run and was made from another spec_hash makes it anew and keeps its data.
Result<std::unique_ptr<Runtime>> make_docker_runtime(DockerOptions options);

}  // namespace pgb::runtime
