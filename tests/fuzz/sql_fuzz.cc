// Any text gets a verdict, and texts with one key get one verdict: the second half of the input says what the literals
// of the first are changed into.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "sql/classify.h"
#include "sql/normalize.h"
#include "sql/verdict_cache.h"

namespace {

using namespace pgb::sql;

void check(bool holds) {
  if (!holds) std::abort();
}

// Other digits for digits, other text in strings. The key tells whether the shape stayed.
std::string changed(std::string_view text, std::string_view by) {
  std::string out(text);
  size_t next = 0;
  bool in_string = false;
  for (char& c : out) {
    if (by.empty()) break;
    const char with = by[next++ % by.size()];
    if (c == '\'') {
      in_string = !in_string;
    } else if (in_string) {
      if (with != '\'' && with != '\\' && with != '\0') c = with;
    } else if (c >= '0' && c <= '9') {
      c = static_cast<char>('0' + static_cast<unsigned char>(with) % 10);
    }
  }
  return out;
}

void check_pair(std::string_view a, std::string_view b, bool (*to_key)(std::string_view, std::string&)) {
  std::string key_a, key_b;
  if (!to_key(a, key_a) || !to_key(b, key_b) || key_a != key_b) return;
  const Verdict first = classify(a), second = classify(b);
  if (!first.parsed || !second.parsed) return;
  check(first.needs_text == second.needs_text);
  if (!first.needs_text) check(first == second);
}

bool for_cache(std::string_view text, std::string& key) { return normalize_for_cache(text, key); }

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size > 8192) return 0;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t half = input.find('\n');
  const std::string_view text = input.substr(half == std::string_view::npos ? 0 : half + 1);
  const std::string_view by = input.substr(0, half == std::string_view::npos ? 0 : half);

  const Verdict verdict = classify(text);
  check(!verdict.reason.empty());
  check(!verdict.read || (verdict.parsed && verdict.effects.empty()));

  const std::string other = changed(text, by);
  check_pair(text, other, normalize);
  check_pair(text, other, for_cache);

  // A long text is judged by what is left of it.
  const std::string padded = std::string(text) + "\n--" + std::string(kLongText, ' ');
  std::string key, reduced;
  if (normalize_for_cache(padded, key, &reduced)) check_pair(padded, reduced, for_cache);

  VerdictCache cache;
  check(cache.get(text, nullptr).verdict == verdict);
  check(cache.get(text, nullptr).verdict == verdict);
  check(cache.hits() == 1 || key.size() > kLongText);
  return 0;
}
