#include "model/claims.h"

#include <algorithm>
#include <tuple>

namespace pgb::model {

void Claims::claim(const std::string& space, const std::string& value, const JsonValue& where, std::string path) {
  claims_.push_back({space, value, where.place, std::move(path)});
}

void Claims::settle(Mistakes& mistakes) {
  std::stable_sort(claims_.begin(), claims_.end(), [](const Claim& a, const Claim& b) {
    return std::tie(a.place.line, a.place.column) < std::tie(b.place.line, b.place.column);
  });
  for (const auto& claim : claims_) {
    const auto [first, fresh] = taken_.emplace(std::pair(claim.space, claim.value), claim.path);
    if (!fresh) mistakes.add(claim.place, claim.path, claim.value + " is already used by " + first->second);
  }
}

bool Claims::take(const std::string& space, const std::string& value) {
  return taken_.emplace(std::pair(space, value), "").second;
}

std::string Claims::free_name(const std::string& stem, int& next) {
  for (;;) {
    const std::string name = stem + std::to_string(next++);
    if (take("name", name)) return name;
  }
}

std::string Claims::free_container(const std::string& wanted) {
  if (take("container", wanted)) return wanted;
  for (int i = 2;; ++i) {
    const std::string name = wanted.substr(0, 58) + "_" + std::to_string(i);
    if (take("container", name)) return name;
  }
}

uint16_t Claims::free_port(int wanted) {
  constexpr int kFirst = 1024;
  constexpr int kCount = 65536 - kFirst;
  for (int i = 0; i < kCount; ++i) {
    const int port = kFirst + (wanted - kFirst + i) % kCount;
    if (take("port", std::to_string(port))) return static_cast<uint16_t>(port);
  }
  return 0;  // not with the table's limits on balancers and replicas
}

std::string Claims::free_address(const Subnet& subnet, uint64_t wanted_offset) {
  constexpr uint64_t kFirst = 2;  // 0 is the network, 1 the gateway; the last one is the broadcast
  constexpr uint64_t kTries = 70000;
  const uint64_t usable = subnet.size() - kFirst - 1;
  const uint64_t start = (wanted_offset % subnet.size() + usable - kFirst) % usable;
  for (uint64_t i = 0; i < std::min(usable, kTries); ++i) {
    const auto address = format_ipv4(subnet.base + static_cast<uint32_t>(kFirst + (start + i) % usable));
    if (take("address", address)) return address;
  }
  return "";
}

}  // namespace pgb::model
