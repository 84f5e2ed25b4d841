// Names, addresses, ports and numbers that must not be given twice.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "model/ipv4.h"
#include "model/json_document.h"

namespace pgb::model {

class Claims {
 public:
  // Notes that `value` is taken in `space` ("port", "name", …) by the file's value at `path`.
  void claim(const std::string& space, const std::string& value, const JsonValue& where, std::string path);

  // Settles the claims in the order of the file: the second of a value is the mistake.
  void settle(Mistakes& mistakes);

  // For what the file leaves open. Each takes the nearest free one, and so always the same.
  std::string free_name(const std::string& stem, int& next);  // stem + *next…; leaves *next after it
  std::string free_container(const std::string& wanted);
  uint16_t free_port(int wanted);
  // Empty if the subnet is full.
  std::string free_address(const Subnet& subnet, uint64_t wanted_offset);

 private:
  struct Claim {
    std::string space;
    std::string value;
    Place place;
    std::string path;
  };
  bool take(const std::string& space, const std::string& value);

  std::vector<Claim> claims_;
  std::map<std::pair<std::string, std::string>, std::string> taken_;  // to the path
};

}  // namespace pgb::model
