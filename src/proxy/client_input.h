// What a session has of its client while it looks at it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>

#include "proxy/console_talk.h"

namespace pgb::proxy {

enum class ClientStep : uint8_t {
  kOn,    // go on with what follows
  kMore,  // bytes are missing
  kWait,  // for a server
};

// The client's bytes under way: [sent, at) is to go to the server as it is.
struct ClientInput {
  std::string_view bytes;
  size_t at = 0;
  size_t sent = 0;
  std::string_view rest() const { return bytes.substr(at); }
};

// Of a client that asks the balancer itself.
struct AtConsole {
  AtConsole(ConsoleAsker who, ConsoleTalk::Describe describe) : asker(std::move(who)), talk(std::move(describe)) {}
  const ConsoleAsker asker;
  ConsoleTalk talk;
};

}  // namespace pgb::proxy
