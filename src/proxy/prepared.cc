#include "proxy/prepared.h"

#include <algorithm>
#include <array>
#include <cctype>

namespace pgb::proxy {
namespace {

bool is_of_word(unsigned char c) { return std::isalnum(c) != 0 || c == '_' || c == '$' || c >= 0x80; }

// Whether a literal may stand for the moment of its parsing. It is enough that the word is there, and is no function's
// name: the worst that comes of it is a statement that is not shared.
bool names_moment(std::string_view text) {
  constexpr std::array<std::string_view, 5> kWords = {"now", "today", "tomorrow", "yesterday", "allballs"};
  if (text.find_first_of("'$") == std::string_view::npos) return false;  // no literal at all
  const std::string folded = lower(text);
  return std::any_of(kWords.begin(), kWords.end(), [&](std::string_view word) {
    for (size_t at = folded.find(word); at != std::string::npos; at = folded.find(word, at + 1)) {
      const size_t end = at + word.size();
      const bool begins = at == 0 || !is_of_word(static_cast<unsigned char>(folded[at - 1]));
      const bool ends = end == folded.size() || !is_of_word(static_cast<unsigned char>(folded[end]));
      const size_t next = folded.find_first_not_of(" \t\r\n", end);
      if (begins && ends && (next == std::string::npos || folded[next] != '(')) return true;
    }
    return false;
  });
}

std::atomic<uint64_t>& next_id() {
  static std::atomic<uint64_t> id{1};
  return id;
}

}  // namespace

std::shared_ptr<PreparedStatement> PreparedStatements::make(std::string_view body) {
  auto statement = std::make_shared<PreparedStatement>();
  statement->id = next_id().fetch_add(1, std::memory_order_relaxed);
  statement->body = body;
  return statement;
}

PreparedPtr PreparedStatements::alone(std::string_view body) { return make(body); }

PreparedPtr PreparedStatements::intern(std::string_view body, uint64_t epoch, const ParameterSetPtr& under) {
  const auto found = known_.find(Key{body, under.get()});
  bool at_moment = false;
  if (found != known_.end()) {
    PreparedPtr known = found->second.lock();
    at_moment = known && known->at_moment;
    if (known && !at_moment && known->epoch == epoch) return known;
    known_.erase(found);
  }
  if (known_.size() >= forget_at_) forget();
  auto statement = make(body);
  statement->epoch = epoch;
  statement->under = under;
  statement->at_moment = at_moment || names_moment(statement->text());
  known_.emplace(OwnKey{statement->body, under.get()}, statement);
  return statement;
}

void PreparedStatements::forget() {
  for (auto it = known_.begin(); it != known_.end();) it = it->second.expired() ? known_.erase(it) : std::next(it);
  forget_at_ = std::max<size_t>(1024, known_.size() * 2);
}

}  // namespace pgb::proxy
