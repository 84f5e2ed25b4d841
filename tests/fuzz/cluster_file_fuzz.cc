// Whatever the bytes: no crash, and a file without mistakes survives being printed and read again.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "model/topology_json.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace pgb::model;
  const auto first = parse_cluster({reinterpret_cast<const char*>(data), size});
  if (!first.mistakes.empty()) return 0;
  const auto second = parse_cluster(to_json(first.cluster));
  if (!second.mistakes.empty() || to_json(second.cluster) != to_json(first.cluster)) abort();
  return 0;
}
