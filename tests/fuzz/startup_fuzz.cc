// Any first packet: what decodes encodes to a packet that decodes to the same.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "pgwire/startup.h"

using namespace pgb::pgwire;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view bytes(reinterpret_cast<const char*>(data), size);
  auto read = decode_first_packet(bytes);
  if (!read.ok() || !read->has_value()) return 0;
  if ((*read)->size > size) abort();
  std::string first;
  std::visit([&first](const auto& packet) { encode(first, packet); }, (*read)->packet);
  auto again = decode_first_packet(first);
  if (!again.ok() || !again->has_value() || (*again)->size != first.size()) abort();
  std::string second;
  std::visit([&second](const auto& packet) { encode(second, packet); }, (*again)->packet);
  if (first != second) abort();
  return 0;
}
