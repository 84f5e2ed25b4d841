#include "agent/memory.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "os/file.h"

namespace pgb::agent {

using nlohmann::json;

namespace {

// A leader whose disk is full promises before it gives its key up: else it would keep it, and nobody could take over.
constexpr size_t kRoom = 512;

}  // namespace

Status Memory::load() {
  const std::lock_guard lock(mutex_);
  facts_.promised_at = std::chrono::steady_clock::now();
  auto text = os::read_file(file_, 4096);
  if (!text.ok()) return text.error().code == Code::kNotFound ? Status() : Status(std::move(text).error());
  const json doc = json::parse(*text, nullptr, false);
  const bool whole = doc.is_object() && doc.contains("promised") && doc["promised"].is_number_unsigned() &&
                     doc.contains("led") && doc["led"].is_number_unsigned();
  if (!whole) {
    return Error(Code::kProtocol, file_ + " is damaged: what this node has promised is not known")
        .with("try", "remove the node's data, so that it is copied anew from the leader");
  }
  facts_.promised = doc["promised"].get<ha::Epoch>();
  facts_.led = doc["led"].get<ha::Epoch>();
  facts_.founder = doc.value("founder", false);
  facts_.known = true;
  return {};
}

Memory::Facts Memory::facts() const {
  const std::lock_guard lock(mutex_);
  return facts_;
}

Status Memory::write(const Facts& facts) {
  const json doc{{"promised", facts.promised}, {"led", facts.led}, {"founder", facts.founder}};
  PGB_TRY(os::write_file_in_room(file_, doc.dump() + "\n", 0600, kRoom));
  const bool rises = facts.promised > facts_.promised;
  facts_ = facts;
  facts_.known = true;
  if (rises) facts_.promised_at = std::chrono::steady_clock::now();
  return {};
}

Status Memory::promise(ha::Epoch epoch) {
  const std::lock_guard lock(mutex_);
  if (facts_.promised >= epoch) return {};
  Facts next = facts_;
  next.promised = epoch;
  return write(next);
}

Status Memory::set_led(ha::Epoch epoch) {
  const std::lock_guard lock(mutex_);
  if (facts_.led == epoch) return {};
  Facts next = facts_;
  next.led = epoch;
  return write(next);
}

Status Memory::promise_and_follow(ha::Epoch epoch) {
  const std::lock_guard lock(mutex_);
  Facts next = facts_;
  next.promised = std::max(next.promised, epoch);
  next.led = 0;
  if (next.promised == facts_.promised && facts_.led == 0) return {};
  return write(next);
}

Status Memory::set_founder(bool founder) {
  const std::lock_guard lock(mutex_);
  if (facts_.founder == founder && facts_.known) return {};
  Facts next = facts_;
  next.founder = founder;
  return write(next);
}

}  // namespace pgb::agent
