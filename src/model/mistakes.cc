#include "model/mistakes.h"

#include <algorithm>
#include <tuple>

namespace pgb::model {

namespace {
constexpr size_t kShown = 100;
constexpr size_t kKept = 10000;  // enough to sort by place; a hostile file must not fill the memory
}  // namespace

void Mistakes::add(Place place, std::string path, std::string text) {
  if (found_.size() >= kKept) {
    ++dropped_;
    return;
  }
  found_.push_back({place.line, place.column, std::move(path), std::move(text)});
}

std::vector<Mistake> Mistakes::take() {
  std::stable_sort(found_.begin(), found_.end(), [](const Mistake& a, const Mistake& b) {
    return std::tie(a.line, a.column) < std::tie(b.line, b.column);
  });
  if (found_.size() > kShown) {
    const size_t more = found_.size() - kShown + dropped_;
    found_.resize(kShown);
    found_.push_back({found_.back().line, found_.back().column, "", "and " + std::to_string(more) + " more mistakes"});
  }
  return std::move(found_);
}

std::string shown(std::string_view text) {
  static const char* kHex = "0123456789abcdef";
  constexpr size_t kLongest = 60;
  std::string out = "\"";
  for (const char c : text.substr(0, kLongest)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f) {
      out += "\\x";
      out += kHex[byte >> 4];
      out += kHex[byte & 15];
    } else {
      out += c;
    }
  }
  if (text.size() > kLongest) {
    while (!out.empty() && (static_cast<unsigned char>(out.back()) & 0xC0) == 0x80) out.pop_back();
    if (static_cast<unsigned char>(out.back()) >= 0xC0) out.pop_back();
    out += "…";
  }
  return out + "\"";
}

}  // namespace pgb::model
