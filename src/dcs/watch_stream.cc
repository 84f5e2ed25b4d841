#include "dcs/watch_stream.h"

#include <algorithm>

namespace pgb::dcs {
namespace {

constexpr size_t kMostBuffered = 64u << 20;

}  // namespace

bool WatchStream::take(std::string_view piece) {
  buffer_ += piece;
  if (buffer_.size() > kMostBuffered) return fail(Error(Code::kProtocol, "a watch got a line longer than 64 MiB"));
  for (size_t end = 0; (end = buffer_.find('\n')) != std::string::npos;) {
    const std::string line = buffer_.substr(0, end);
    buffer_.erase(0, end + 1);
    if (!take_line(parse_json(line))) return false;
  }
  return true;
}

bool WatchStream::fail(Error error) {
  error_ = std::move(error);
  return false;
}

bool WatchStream::take_line(const Json& line) {
  const Json& result = member(line, "result");
  if (!result.is_object()) {
    refusal_ = line;
    return false;
  }
  auto revision = read_revision(result);
  if (!revision) return fail(revision.error());
  auto compacted = read_number(result, "compact_revision");
  if (compacted && *compacted > 0) {
    return fail(Error(Code::kCompacted, "changes before revision " + std::to_string(*compacted) +
                                            " are no longer kept, and " + std::to_string(from_) + " was asked for")
                    .with("try", "read the keys, then watch from the revision after"));
  }
  if (read_flag(result, "canceled")) {
    refusal_ = {{"message", member(result, "cancel_reason")}};
    return false;
  }
  if (read_flag(result, "created")) {
    created_ = true;
  }
  return pass_on(member(result, "events"), *revision);
}

bool WatchStream::pass_on(const Json& events, Revision revision) {
  Changes changes;
  for (const Json& item : events) {
    auto event = read_event(item);
    if (!event) return fail(event.error());
    if (event->kv.mod_revision >= from_) changes.events.push_back(std::move(*event));
  }
  if (changes.events.empty()) return true;
  // The header may be ahead of what was sent so far.
  changes.revision = std::min(revision, changes.events.back().kv.mod_revision);
  from_ = changes.revision + 1;
  satisfied_ = !on_changes_(changes);
  return !satisfied_;
}

}  // namespace pgb::dcs
