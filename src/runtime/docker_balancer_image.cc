#include "runtime/docker_balancer_image.h"

#include <elf.h>

#include <cstring>

#include "runtime/docker_sha256.h"
#include "runtime/docker_spec.h"
#include "runtime/tar.h"

namespace pgb::runtime {

std::string balancer_image_name(const std::string& program) {
  return std::string(kBalancerRepository) + ":" + sha256_hex(program).substr(0, 12);
}

Result<std::string> balancer_image_tar(const std::string& program) {
  TarWriter tar;
  const std::string dir = kUnitDir;
  PGB_TRY(tar.add_dir("tmp", 01777));
  PGB_TRY(tar.add_dir(dir, 0755));
  PGB_TRY(tar.add_file(dir + "/pgbalancer", program, 0755));
  return tar.finish();
}

Result<std::string> ensure_balancer_image(const DockerClient& client, const std::string& program, Deadline deadline) {
  std::string name = balancer_image_name(program);
  auto existing = client.inspect_image(name, deadline);
  if (!existing.ok()) return std::move(existing).error();
  if (existing->has_value()) return name;
  auto tar = balancer_image_tar(program);
  if (!tar.ok()) return std::move(tar).error();
  std::string tag = name.substr(std::strlen(kBalancerRepository) + 1);
  std::string label = std::string("LABEL ") + kLabelKind + "=" + kKindBalancerImage;
  PGB_TRY(client.import_image(kBalancerRepository, tag, std::move(*tar), {label}, deadline));
  return name;
}

void remove_unused_balancer_images(const DockerClient& client, Deadline deadline) {
  auto images = client.list_images({label_is(kLabelKind, kKindBalancerImage)}, deadline);
  if (!images.ok()) return;
  for (const DockerImage& image : *images) {
    // By tag, without force: the engine refuses while a container, running or not, uses it.
    for (const std::string& tag : image.tags) (void)client.remove_image(tag, deadline).ok();
  }
}

bool is_dynamic_elf(const std::string& program) {
  Elf64_Ehdr header;
  if (program.size() < sizeof header || std::memcmp(program.data(), ELFMAG, SELFMAG) != 0) return false;
  if (static_cast<unsigned char>(program[EI_CLASS]) != ELFCLASS64) return false;
  std::memcpy(&header, program.data(), sizeof header);
  for (uint64_t i = 0; i < header.e_phnum; ++i) {
    uint64_t at = header.e_phoff + i * header.e_phentsize;
    Elf64_Phdr segment;
    if (at > program.size() || program.size() - at < sizeof segment) return false;
    std::memcpy(&segment, program.data() + at, sizeof segment);
    if (segment.p_type == PT_INTERP) return true;
  }
  return false;
}

}  // namespace pgb::runtime
