// What `docker login` has kept, for the registry of an image.
#pragma once

#include <optional>
#include <string>

#include "base/deadline.h"
#include "base/secret.h"
#include "runtime/docker_endpoint.h"

namespace pgb::runtime {

// "registry:5000" of "registry:5000/x:1"; what names no registry comes from "https://index.docker.io/v1/".
std::string registry_of(const std::string& reference);

// The value of the Engine's header X-Registry-Auth for this registry: from config.json of the docker command, itself or
// by the credential helper that it names (docker-credential-…). Nothing if nobody has logged in there. An unreadable
// file counts as none; a helper that fails is an error, kTool.
// Source: https://docs.docker.com/reference/api/engine/ (Authentication), docker login (Credential helpers).
Result<std::optional<Secret>> registry_auth(const DockerEnvironment& environment, const std::string& registry,
                                            Deadline deadline);

}  // namespace pgb::runtime
