// The balancer's image: nothing but its static executable, named by the digest of that, so that another
// version of the program is another image.
#pragma once

#include <string>

#include "base/result.h"
#include "runtime/docker_client.h"

namespace pgb::runtime {

constexpr char kBalancerRepository[] = "pgbalancer";

// "pgbalancer:0123456789ab" for the program's bytes.
std::string balancer_image_name(const std::string& program);

// The tar of the image's root directory.
Result<std::string> balancer_image_tar(const std::string& program);

// Imports it unless the engine has it. Returns its name.
Result<std::string> ensure_balancer_image(const DockerClient& client, const std::string& program, Deadline deadline);

// Removes each of our balancer images that no container uses.
void remove_unused_balancer_images(const DockerClient& client, Deadline deadline);

// True if the program needs a dynamic loader, which a container need not have.
bool is_dynamic_elf(const std::string& program);

}  // namespace pgb::runtime
