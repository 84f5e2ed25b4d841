#include "sql/normalize.h"

#include <array>

namespace pgb::sql {
namespace {

enum Class : unsigned char { kPlain, kWord, kDigit, kQuote, kDouble, kDollar, kMinus, kSlash, kOdd };

constexpr std::array<Class, 256> make_classes() {
  std::array<Class, 256> table{};
  for (int c = 0; c < 256; ++c) {
    const auto at = static_cast<size_t>(c);
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c >= 0x80) table[at] = kWord;
    if (c >= '0' && c <= '9') table[at] = kDigit;
  }
  table['\''] = kQuote;
  table['"'] = kDouble;
  table['$'] = kDollar;
  table['-'] = kMinus;
  table['/'] = kSlash;
  table['\\'] = kOdd;
  table[0] = kOdd;
  return table;
}
constexpr std::array<Class, 256> kClasses = make_classes();

Class class_of(char c) { return kClasses[static_cast<unsigned char>(c)]; }

bool begins_with(std::string_view text, std::string_view lower_word) {
  if (text.size() < lower_word.size()) return false;
  for (size_t i = 0; i < lower_word.size(); ++i) {
    if ((text[i] | 0x20) != lower_word[i]) return false;
  }
  return text.size() == lower_word.size() || class_of(text[lower_word.size()]) == kPlain;
}

bool is_data_statement(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t\n\r");
  if (first == std::string_view::npos) return false;
  const std::string_view rest = text.substr(first);
  switch (rest[0] | 0x20) {
    case 's': return begins_with(rest, "select");
    case 'i': return begins_with(rest, "insert");
    case 'u': return begins_with(rest, "update");
    case 'd': return begins_with(rest, "delete");
    case 'w': return begins_with(rest, "with");
    case 'v': return begins_with(rest, "values");
    default: return false;
  }
}

class Writer {
 public:
  Writer(std::string_view text, std::string& key) : text_(text), key_(key) {}

  bool run() {
    while (at_ < text_.size()) {
      switch (class_of(text_[at_])) {
        case kPlain: ++at_; break;
        case kWord: word(); break;
        case kDigit: number(); break;
        case kDouble:
          if (!quoted_name()) return false;
          break;
        case kQuote:
          if (!string()) return false;
          break;
        case kMinus:
        case kSlash:
          if (!maybe_comment()) return false;
          break;
        case kDollar:
          if (!parameter()) return false;
          break;
        case kOdd: return false;
      }
    }
    key_.append(text_.substr(copied_));
    return true;
  }

 private:
  bool at_word(size_t i) const {
    return i < text_.size() && (class_of(text_[i]) == kWord || class_of(text_[i]) == kDigit || text_[i] == '$');
  }
  void word() {
    while (at_word(at_)) ++at_;
  }
  void replace(size_t begin) {
    key_.append(text_.substr(copied_, begin - copied_));
    key_ += '?';
    copied_ = at_;
  }
  // Digits, and what may follow them in a number; letters stay outside: "1e5" becomes "?e?" — as distinct as before.
  void number() {
    const size_t begin = at_;
    while (at_ < text_.size() && class_of(text_[at_]) == kDigit) ++at_;
    if (at_ < text_.size() && class_of(text_[at_]) == kWord) return word();  // 1e5, 0x1f, 123abc: kept
    replace(begin);
  }
  bool quoted_name() {
    if (at_ > 0 && text_[at_ - 1] == '&') return false;  // U&"…"
    for (++at_; at_ < text_.size(); ++at_) {
      if (text_[at_] == '"') return ++at_, true;
      if (text_[at_] == '\\' || text_[at_] == '\0') return false;
    }
    return false;
  }
  bool string() {
    // E'…', B'…', X'…', N'…', U&'…': a letter or & right in front.
    if (at_ > 0 && (at_word(at_ - 1) || text_[at_ - 1] == '&')) return false;
    const size_t begin = at_;
    for (++at_; at_ < text_.size(); ++at_) {
      const char c = text_[at_];
      if (c == '\\' || c == '\0') return false;
      if (c != '\'') continue;
      if (at_ + 1 < text_.size() && text_[at_ + 1] == '\'') {
        ++at_;
        continue;
      }
      ++at_;
      replace(begin);
      return true;
    }
    return false;
  }
  bool maybe_comment() {  // comments may hold quotes: such texts are kept as they are
    const char next = at_ + 1 < text_.size() ? text_[at_ + 1] : ' ';
    if ((text_[at_] == '-' && next == '-') || (text_[at_] == '/' && next == '*')) return false;
    ++at_;
    return true;
  }
  bool parameter() {  // $1, but no $tag$
    ++at_;
    if (at_ >= text_.size() || class_of(text_[at_]) != kDigit) return false;
    while (at_ < text_.size() && class_of(text_[at_]) == kDigit) ++at_;
    return at_ >= text_.size() || (class_of(text_[at_]) != kWord && text_[at_] != '$');
  }

  std::string_view text_;
  std::string& key_;
  size_t at_ = 0;
  size_t copied_ = 0;
};

}  // namespace

bool normalize(std::string_view text, std::string& key) {
  key.clear();
  if (is_data_statement(text) && Writer(text, key).run()) return true;
  key.assign(text);
  return false;
}

}  // namespace pgb::sql
