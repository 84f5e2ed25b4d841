// Finds the container engine as the docker command does: DOCKER_HOST, the current context, the default socket.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "http/client.h"

namespace pgb::runtime {

// What the search looks at; tests give their own.
struct DockerEnvironment {
  std::function<std::optional<std::string>(const std::string&)> variable;
  std::string default_socket = "/var/run/docker.sock";

  static DockerEnvironment of_process();
};

// One place where an engine may answer.
struct DockerCandidate {
  http::Endpoint endpoint;
  std::string source;  // "DOCKER_HOST", "context \"colima\"", "default"
};

struct DockerSearch {
  std::vector<DockerCandidate> candidates;  // in the order to try
  std::vector<std::string> unusable;        // "context \"x\" from …: ssh:// …": cannot even be tried
};

// DOCKER_HOST alone if it is set: who names an engine does not mean another. Else the context of
// DOCKER_CONTEXT or config.json, then the default socket. Reads files; never fails.
DockerSearch find_docker_endpoints(const DockerEnvironment& environment);

// Where the docker command keeps its configuration: DOCKER_CONFIG, or .docker at home. Empty: there is no home.
std::string docker_config_dir(const DockerEnvironment& environment);

}  // namespace pgb::runtime
