// Any bytes as a request to the embedded lease store, as a log file, and as what a watch gets: no crash, no hang, and
// no state that a log could not hold. The first byte chooses.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "dcs/change.h"
#include "dcs/core.h"
#include "dcs/gateway.h"
#include "dcs/journal.h"
#include "dcs/watch_stream.h"

using namespace pgb;

namespace {

void require(bool holds) {
  if (!holds) abort();
}

void as_request(uint8_t which, std::string_view bytes) {
  static const char* const kPaths[] = {"/v3/kv/range",     "/v3/kv/put",          "/v3/kv/txn", "/v3/lease/grant",
                                       "/v3/lease/revoke", "/v3/lease/keepalive", "/v3/watch",  "/v3/lease/timetolive"};
  static std::chrono::steady_clock::time_point now;
  static auto store = dcs::LocalStore::in_memory([] { return now; });
  static dcs::Gateway gateway(*store, "", Secret());
  now += std::chrono::milliseconds(which);
  http::Request request;
  request.method = "POST";
  request.target = kPaths[which % 8];
  request.body = std::string(bytes);
  const http::Response response = gateway.handle(request);
  require(response.status >= 200 && response.status < 600 && !response.body.empty());
}

// What can be replayed must be the same after it was written down as a whole.
void as_log(std::string_view bytes) {
  dcs::Core core;
  const auto replay = [&](std::string_view record) -> Status {
    const auto change = dcs::decode(record);
    if (!change) return Error(Code::kIo, "no change");
    require(dcs::encode(*change).size() <= record.size());
    core.apply(*change, {});
    return Status();
  };
  (void)dcs::scan_log(bytes, replay).ok();
  (void)dcs::scan_log(std::string("pgbdcs1\n\1\0\0\0\0\0\0\0", 16) + std::string(bytes), replay).ok();
  if (const auto change = dcs::decode(bytes)) core.apply(*change, {});
  const std::string whole = dcs::encode(core.whole());
  dcs::Core again;
  const auto read = dcs::decode(whole);
  require(read.has_value());
  again.apply(*read, {});
  require(dcs::encode(again.whole()) == whole);
}

void as_watch(std::string_view bytes) {
  dcs::Revision last = 0;
  const std::function<bool(const dcs::Changes&)> on_changes = [&](const dcs::Changes& changes) {
    require(changes.revision >= last && !changes.events.empty());
    last = changes.revision;
    return true;
  };
  dcs::WatchStream watched(1, on_changes);
  while (!bytes.empty() && watched.take(bytes.substr(0, 7))) bytes.remove_prefix(bytes.size() < 7 ? bytes.size() : 7);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view rest(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (data[0] < 0x80) as_request(data[0], rest);
  if (data[0] >= 0x80 && data[0] < 0xc0) as_log(rest);
  if (data[0] >= 0xc0) as_watch(rest);
  return 0;
}
