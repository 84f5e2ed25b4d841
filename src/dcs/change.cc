#include "dcs/change.h"

#include <cstring>

namespace pgb::dcs {
namespace {

constexpr uint8_t kFormat = 1;

class Writer {
 public:
  void number(int64_t value) {
    for (int shift = 0; shift < 64; shift += 8)
      bytes_.push_back(static_cast<char>(static_cast<uint64_t>(value) >> shift));
  }
  void text(const std::string& value) {
    number(static_cast<int64_t>(value.size()));
    bytes_ += value;
  }
  std::string take() { return std::move(bytes_); }

 private:
  std::string bytes_;
};

// Once something is missing, everything else reads as nothing.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : rest_(bytes) {}

  int64_t number() {
    if (rest_.size() < 8) return fail();
    uint64_t value = 0;
    for (size_t i = 8; i-- > 0;) value = value << 8 | static_cast<unsigned char>(rest_[i]);
    rest_.remove_prefix(8);
    return static_cast<int64_t>(value);
  }
  std::string text() {
    const auto size = static_cast<uint64_t>(number());
    if (size > rest_.size()) fail();
    if (failed_) return {};
    std::string value(rest_.substr(0, size));
    rest_.remove_prefix(size);
    return value;
  }
  // Each element takes at least eight bytes: a count cannot ask for more memory than the record has.
  size_t count() {
    const auto value = static_cast<uint64_t>(number());
    if (value > rest_.size() / 8) fail();
    return failed_ ? 0 : value;
  }
  bool good() const { return !failed_; }
  bool done() const { return !failed_ && rest_.empty(); }

 private:
  int64_t fail() {
    failed_ = true;
    rest_ = {};
    return 0;
  }
  std::string_view rest_;
  bool failed_ = false;
};

void write_event(Writer& out, const Event& event) {
  out.number(event.kind == Event::Kind::kPut ? 0 : 1);
  out.text(event.kv.key);
  out.text(event.kv.value);
  out.number(event.kv.create_revision);
  out.number(event.kv.mod_revision);
  out.number(event.kv.version);
  out.number(event.kv.lease);
}

Event read_event(Reader& in) {
  Event event;
  event.kind = in.number() == 0 ? Event::Kind::kPut : Event::Kind::kDelete;
  event.kv.key = in.text();
  event.kv.value = in.text();
  event.kv.create_revision = in.number();
  event.kv.mod_revision = in.number();
  event.kv.version = in.number();
  event.kv.lease = in.number();
  return event;
}

}  // namespace

std::string encode(const Change& change) {
  Writer out;
  out.number(kFormat);
  out.number(change.restart ? 1 : 0);
  out.number(change.revision);
  out.number(change.last_lease);
  out.number(static_cast<int64_t>(change.granted.size()));
  for (const Lease& lease : change.granted) {
    out.number(lease.id);
    out.number(lease.ttl.count());
  }
  out.number(static_cast<int64_t>(change.events.size()));
  for (const Event& event : change.events) write_event(out, event);
  out.number(static_cast<int64_t>(change.ended.size()));
  for (const LeaseId id : change.ended) out.number(id);
  return out.take();
}

std::optional<Change> decode(std::string_view bytes) {
  Reader in(bytes);
  Change change;
  if (in.number() != kFormat) return std::nullopt;
  change.restart = in.number() == 1;
  change.revision = in.number();
  change.last_lease = in.number();
  for (size_t n = in.count(); n > 0 && in.good(); --n) {
    const LeaseId id = in.number();
    const int64_t ttl = in.number();
    if (ttl < 1 || ttl > kMostTtl.count()) return std::nullopt;
    change.granted.push_back({id, std::chrono::seconds(ttl)});
  }
  for (size_t n = in.count(); n > 0 && in.good(); --n) change.events.push_back(read_event(in));
  for (size_t n = in.count(); n > 0 && in.good(); --n) change.ended.push_back(in.number());
  if (!in.done()) return std::nullopt;
  return change;
}

}  // namespace pgb::dcs
