// IPv4 addresses and subnets as numbers in host byte order.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace pgb::model {

// "172.31.1.10", four decimal numbers without leading zeros; nothing otherwise.
std::optional<uint32_t> parse_ipv4(std::string_view text);
std::string format_ipv4(uint32_t address);

struct Subnet {
  uint32_t base = 0;
  int prefix = 16;

  uint64_t size() const { return uint64_t{1} << (32 - prefix); }
  bool holds(uint32_t address) const { return address >= base && address - base < size(); }
};

// "172.31.0.0/16"; host bits may be set, see `base`. Nothing if it is not of that form.
std::optional<Subnet> parse_subnet(std::string_view text);

// The address without its host bits.
uint32_t network_of(uint32_t address, int prefix);

}  // namespace pgb::model
