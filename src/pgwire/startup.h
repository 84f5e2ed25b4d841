// The first, untagged packet of a connection.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "base/result.h"
#include "pgwire/types.h"

namespace pgb::pgwire {

struct SslRequest {};
struct GssEncRequest {};
struct CancelRequest {
  uint32_t pid = 0;
  std::string key;  // 4 bytes in protocol 3.0, 4..256 later
};
struct StartupMessage {
  uint32_t version = kProtocol30;
  std::map<std::string, std::string> params;  // user, database, options, replication …

  uint16_t major() const { return static_cast<uint16_t>(version >> 16); }
  uint16_t minor() const { return static_cast<uint16_t>(version & 0xffff); }
  // The parameter, or empty text.
  std::string param(std::string_view name) const;
};
using FirstPacket = std::variant<SslRequest, GssEncRequest, CancelRequest, StartupMessage>;

struct FirstPacketRead {
  FirstPacket packet;
  size_t size = 0;  // bytes of the buffer that it took
};

// Reads the packet at the start of `buffer`. Nothing: more bytes are needed. kProtocol: not PostgreSQL,
// longer than kMaxFirstPacket, malformed, or a major version other than 3. Any minor version is let
// through: answer NegotiateProtocolVersion when minor() > 0 or a parameter starts with "_pq_.".
Result<std::optional<FirstPacketRead>> decode_first_packet(std::string_view buffer);

void encode(std::string& out, const SslRequest& message);
void encode(std::string& out, const GssEncRequest& message);
void encode(std::string& out, const CancelRequest& message);
void encode(std::string& out, const StartupMessage& message);

}  // namespace pgb::pgwire
