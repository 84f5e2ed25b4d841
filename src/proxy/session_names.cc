// The names of a client's prepared statements: what messages under way make of them, and what is left of that after an
// error.
#include <algorithm>

#include "proxy/session.h"

namespace pgb::proxy {
namespace {

constexpr uint32_t kFirstUnnamed = 1;  // stands for a Parse of the unnamed statement that may fail, but not be skipped

}  // namespace

bool Session::is_confirmed(std::string_view statement) const {
  return std::none_of(changes_.begin(), changes_.end(), [&](const NameChange& one) { return one.name == statement; });
}

// Before the change is made. The first message of a request is never skipped; it may fail, which matters to a name
// only.
uint32_t Session::note_change(std::string_view name) {
  if (name.empty() && server_->quiet()) return kFirstUnnamed;
  NameChange& change = changes_.emplace_back();
  change.number = last_change_ = std::max(last_change_ + 1, kFirstUnnamed + 1);
  change.name = name;
  if (name.empty()) {
    change.unnamed = unnamed_;
    if (unnamed_ != 0) change.unnamed_body = unnamed_body_;
  } else if (const auto found = statements_.find(change.name); found != statements_.end()) {
    change.before = found->second.prepared;
  }
  return change.number;
}

void Session::server_skipped(uint32_t change, bool failed) {
  if (change == kFirstUnnamed) {
    unnamed_ = 0;
    keeps_unnamed_ = false;
    return;
  }
  const auto found =
      std::find_if(changes_.begin(), changes_.end(), [&](const auto& one) { return one.number == change; });
  if (found == changes_.end()) return;
  NameChange gone = std::move(*found);
  const auto next = changes_.erase(found);
  // The server drops the unnamed statement before it looks at the new one.
  if (failed && gone.name.empty()) gone.unnamed = 0;
  const auto later = std::find_if(next, changes_.end(), [&](const auto& one) { return one.name == gone.name; });
  if (later == changes_.end()) return take_back(gone);
  later->before = std::move(gone.before);
  later->unnamed = gone.unnamed;
  later->unnamed_body = std::move(gone.unnamed_body);
}

void Session::take_back(const NameChange& change) {
  if (change.name.empty()) {
    unnamed_ = change.unnamed;
    unnamed_body_ = change.unnamed_body;
    keeps_unnamed_ = false;
    last_text_ = nullptr;
  } else if (change.before) {
    statements_[change.name] = {change.before, nullptr, 0, true};
  } else {
    statements_.erase(change.name);
  }
}

// Everything was answered. What discards statements has done so unless there was an error.
void Session::names_are_settled() {
  const std::vector<NameChange> changes = std::exchange(changes_, {});
  const bool all = std::exchange(discards_all_, false);
  if (!std::exchange(discards_, false) || server_->errors != errors_before_) return;
  ClientStatements later;
  bool unnamed_later = false;
  for (const NameChange& change : changes) {
    if (change.number <= discarded_at_) continue;
    const auto found = statements_.find(change.name);
    if (found != statements_.end()) later.insert(*found);
    unnamed_later = unnamed_later || change.name.empty();
  }
  statements_ = std::move(later);
  if (!all) return;
  if (!unnamed_later) unnamed_ = 0;
  unstick();
}

}  // namespace pgb::proxy
