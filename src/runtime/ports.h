// Free TCP ports. Thread-safe.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"

namespace pgb::runtime {

// A port nobody uses on this IPv4 or IPv6 address just now. kIo if the address is not one of ours. The kernel
// gives a different one to each asker for some time, but promises nothing.
Result<uint16_t> free_port(const std::string& address);

// Ok if this port can be bound there; else kPortInUse with the holder, as far as it can be seen
// ("held by": "postgres, pid 1423, user alice"), or kIo if the address is not one of ours.
Status check_port_free(const std::string& address, uint16_t port);

}  // namespace pgb::runtime
