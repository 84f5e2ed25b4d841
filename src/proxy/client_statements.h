// What a client has prepared, by its own names.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <unordered_map>

#include "proxy/prepared.h"

namespace pgb::proxy {

struct ClientStatement {
  PreparedPtr prepared;
  // What stands for it in the transaction of that number, on a server that parsed it under nobody knows what.
  PreparedPtr lately = nullptr;
  uint64_t lately_in = 0;
  bool used = false;  // its client may know what its result looks like
};
using ClientStatements = std::unordered_map<std::string, ClientStatement, TextHash, std::equal_to<>>;

// What a Parse or a Close under way does to the client's names; taken back if the server skips it.
struct NameChange {
  uint32_t number = 0;
  std::string name;          // empty: the unnamed statement
  PreparedPtr before;        // null: there was none
  std::string unnamed_body;  // likewise, of the unnamed one
  uint64_t unnamed = 0;
};

}  // namespace pgb::proxy
