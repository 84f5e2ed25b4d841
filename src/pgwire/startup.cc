#include "pgwire/startup.h"

#include "pgwire/malformed.h"
#include "pgwire/writer.h"

namespace pgb::pgwire {
namespace {

constexpr size_t kMinFirstPacket = 8;

void encode_code(std::string& out, uint32_t code) {
  Writer writer(out);
  writer.begin_untagged().u32(code).end();
}

Result<FirstPacket> decode_cancel(Reader reader) {
  CancelRequest request;
  request.pid = reader.u32();
  request.key = reader.rest();
  if (request.key.size() < 4 || request.key.size() > 256) reader.fail();
  return finish<FirstPacket>(reader, std::move(request), "CancelRequest");
}

Result<FirstPacket> decode_startup(uint32_t version, Reader reader) {
  StartupMessage message;
  message.version = version;
  if (message.major() != 3) {
    return Error(Code::kProtocol, "the client asks for protocol " + std::to_string(message.major()) + "." +
                                      std::to_string(message.minor()) + "; only 3.0 is spoken here");
  }
  for (auto name = reader.cstring(); !name.empty(); name = reader.cstring()) {
    message.params.insert_or_assign(std::string(name), std::string(reader.cstring()));
  }
  return finish<FirstPacket>(reader, std::move(message), "Startup");
}

Result<FirstPacket> decode_packet(std::string_view body) {
  Reader reader(body);
  uint32_t code = reader.u32();
  switch (code) {
    case kSslRequestCode: return finish<FirstPacket>(reader, SslRequest{}, "SSLRequest");
    case kGssEncRequestCode: return finish<FirstPacket>(reader, GssEncRequest{}, "GSSENCRequest");
    case kCancelRequestCode: return decode_cancel(reader);
    default: return decode_startup(code, reader);
  }
}

}  // namespace

std::string StartupMessage::param(std::string_view name) const {
  auto found = params.find(std::string(name));
  return found == params.end() ? std::string() : found->second;
}

Result<std::optional<FirstPacketRead>> decode_first_packet(std::string_view buffer) {
  Reader reader(buffer);
  size_t length = reader.u32();
  if (reader.failed()) return std::optional<FirstPacketRead>();
  if (length < kMinFirstPacket || length > kMaxFirstPacket) {
    return Error(Code::kProtocol,
                 "the client does not speak the PostgreSQL protocol: its first packet states a length of " +
                     std::to_string(length) + " bytes");
  }
  auto body = reader.bytes(length - 4);
  if (reader.failed()) return std::optional<FirstPacketRead>();
  auto packet = decode_packet(body);
  if (!packet) return std::move(packet).error();
  FirstPacketRead read;
  read.packet = std::move(*packet);
  read.size = length;
  return std::optional<FirstPacketRead>(std::move(read));
}

void encode(std::string& out, const SslRequest&) { encode_code(out, kSslRequestCode); }
void encode(std::string& out, const GssEncRequest&) { encode_code(out, kGssEncRequestCode); }

void encode(std::string& out, const CancelRequest& message) {
  Writer writer(out);
  writer.begin_untagged().u32(kCancelRequestCode).u32(message.pid).bytes(message.key).end();
}

void encode(std::string& out, const StartupMessage& message) {
  Writer writer(out);
  writer.begin_untagged().u32(message.version);
  for (const auto& [name, value] : message.params) writer.cstring(name).cstring(value);
  writer.u8(0);
  writer.end();
}

}  // namespace pgb::pgwire
