#include "net/network.h"

#include <ifaddrs.h>
#include <netinet/in.h>

#include <algorithm>
#include <cstring>

#include "base/strings.h"

namespace pgb::net {
namespace {

constexpr uint8_t kMapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

}  // namespace

size_t Network::bytes_of(const sockaddr* address, Bytes& out) {
  if (address == nullptr) return 0;
  if (address->sa_family == AF_INET) {
    std::memcpy(out.data(), &reinterpret_cast<const sockaddr_in*>(address)->sin_addr, 4);
    return 4;
  }
  if (address->sa_family != AF_INET6) return 0;
  std::memcpy(out.data(), &reinterpret_cast<const sockaddr_in6*>(address)->sin6_addr, 16);
  if (std::memcmp(out.data(), kMapped, sizeof kMapped) != 0) return 16;
  std::copy(out.begin() + sizeof kMapped, out.end(), out.begin());
  return 4;
}

Result<Network> Network::parse(const std::string& host, const std::string& mask) {
  Network network;
  const auto address = Address::parse(host, 0);
  if (!address || host == "localhost") return Error(Code::kConfig, "\"" + host + "\" is not an IP address");
  network.size_ = bytes_of(address->data(), network.host_);
  if (const auto bits = parse_u64(mask)) {
    if (*bits > network.size_ * 8) {
      return Error(Code::kConfig,
                   "a mask of " + mask + " bits is too long: " + host + " has " + std::to_string(network.size_ * 8));
    }
    for (size_t i = 0; i < *bits; ++i) network.mask_[i / 8] |= static_cast<uint8_t>(0x80 >> (i % 8));
    return network;
  }
  const auto given = Address::parse(mask, 0);
  if (!given || mask == "localhost") return Error(Code::kConfig, "\"" + mask + "\" is not a mask");
  if (bytes_of(given->data(), network.mask_) != network.size_) {
    return Error(Code::kConfig, "the address " + host + " and the mask " + mask + " are not of the same kind");
  }
  return network;
}

bool Network::contains(const Address& address) const {
  Bytes bytes = {};
  if (size_ == 0 || bytes_of(address.data(), bytes) != size_) return false;
  for (size_t i = 0; i < size_; ++i) {
    if (((bytes[i] ^ host_[i]) & mask_[i]) != 0) return false;
  }
  return true;
}

bool Network::address_is(const Address& address) const {
  Bytes bytes = {};
  return size_ != 0 && bytes_of(address.data(), bytes) == size_ &&
         std::equal(bytes.begin(), bytes.begin() + size_, host_.begin());
}

std::vector<Network> own_networks() {
  std::vector<Network> networks;
  ifaddrs* list = nullptr;
  if (::getifaddrs(&list) != 0) return networks;
  for (const ifaddrs* at = list; at != nullptr; at = at->ifa_next) {
    Network network;
    network.size_ = Network::bytes_of(at->ifa_addr, network.host_);
    if (network.size_ == 0 || Network::bytes_of(at->ifa_netmask, network.mask_) == 0) continue;
    networks.push_back(network);
  }
  ::freeifaddrs(list);
  return networks;
}

}  // namespace pgb::net
