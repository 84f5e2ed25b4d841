#include "model/ipv4.h"

#include "base/strings.h"

namespace pgb::model {

std::optional<uint32_t> parse_ipv4(std::string_view text) {
  if (text.size() > 15) return std::nullopt;
  const auto parts = split(text, '.');
  if (parts.size() != 4) return std::nullopt;
  uint32_t address = 0;
  for (const auto& part : parts) {
    const auto number = parse_u64(part);
    if (!number || *number > 255 || (part.size() > 1 && part[0] == '0')) return std::nullopt;
    address = address << 8 | static_cast<uint32_t>(*number);
  }
  return address;
}

std::string format_ipv4(uint32_t address) {
  return std::to_string(address >> 24) + "." + std::to_string(address >> 16 & 255) + "." +
         std::to_string(address >> 8 & 255) + "." + std::to_string(address & 255);
}

std::optional<Subnet> parse_subnet(std::string_view text) {
  const size_t slash = text.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  const auto address = parse_ipv4(text.substr(0, slash));
  const auto prefix = parse_u64(text.substr(slash + 1));
  if (!address || !prefix || *prefix > 32) return std::nullopt;
  return Subnet{*address, static_cast<int>(*prefix)};
}

uint32_t network_of(uint32_t address, int prefix) { return prefix == 0 ? 0 : address & ~uint32_t{0} << (32 - prefix); }

}  // namespace pgb::model
