#include "sql/normalize.h"

#include <array>

#include "sql/hints.h"

namespace pgb::sql {
namespace {

enum Class : unsigned char {
  kWord,  // the first three are what words consist of
  kDigit,
  kDollar,
  kPlain,
  kQuote,
  kDouble,
  kMinus,
  kSlash,
  kOpen,
  kClose,
  kMark,
  kOdd
};

constexpr std::array<Class, 256> make_classes() {
  std::array<Class, 256> table{};
  table.fill(kPlain);
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
  table['('] = kOpen;
  table[')'] = kClose;
  table['?'] = kMark;
  table['\\'] = kOdd;
  table[0] = kOdd;
  return table;
}
constexpr std::array<Class, 256> kClasses = make_classes();

Class class_of(char c) { return kClasses[static_cast<unsigned char>(c)]; }
bool is_plain(char c) { return class_of(c) == kPlain; }
bool is_digit(char c) { return class_of(c) == kDigit; }
bool is_in_string(char c) { return class_of(c) != kQuote && class_of(c) != kOdd; }
bool is_in_word(char c) { return class_of(c) <= kDollar; }

// Where the run of characters of a kind that begins at `at` ends.
template <bool is(char)>
size_t end_of(std::string_view text, size_t at) {
  const char* const data = text.data();
  const size_t size = text.size();
  while (at < size && is(data[at])) ++at;
  return at;
}

bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

bool same_word(std::string_view text, std::string_view lower_word) {
  if (text.size() != lower_word.size()) return false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if ((c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c) != lower_word[i]) return false;
  }
  return true;
}

bool begins_with(std::string_view text, std::string_view lower_word) {
  if (!same_word(text.substr(0, lower_word.size()), lower_word)) return false;
  if (text.size() == lower_word.size()) return true;
  return !is_in_word(text[lower_word.size()]);
}

bool begins_data_statement(std::string_view text) {
  switch (text.empty() ? '\0' : text[0] | 0x20) {
    case 's': return begins_with(text, "select");
    case 'i': return begins_with(text, "insert");
    case 'u': return begins_with(text, "update");
    case 'd': return begins_with(text, "delete");
    case 'w': return begins_with(text, "with");
    case 'v': return begins_with(text, "values");
    default: return false;
  }
}

// ", " and nothing else.
bool is_separator(std::string_view text) {
  bool comma = false;
  for (const char c : text) {
    if (c == ',' && !comma) {
      comma = true;
    } else if (!is_space(c)) {
      return false;
    }
  }
  return comma;
}

class Writer {
 public:
  Writer(std::string_view text, std::string& key, bool for_cache, std::string* reduced)
      : text_(text),
        key_(key),
        reduced_(reduced),
        cut_comments_(for_cache),
        collapse_(for_cache && text.size() >= kLongText) {}

  bool run() {
    if (!skip_front() || !begins_data_statement(text_.substr(at_))) return false;
    while (at_ < text_.size()) {
      bool fine = true;
      switch (class_of(text_[at_])) {
        case kPlain: at_ = end_of<is_plain>(text_, at_); break;
        case kWord: fine = word(); break;
        case kDigit: number(); break;
        case kDouble: fine = quoted_name(); break;
        case kQuote: fine = string(); break;
        case kMinus:
        case kSlash: fine = maybe_comment(false); break;
        case kDollar: fine = parameter(); break;
        case kOpen: open(); break;
        case kClose: close(); break;
        case kMark: mark(); break;
        case kOdd: fine = false; break;
      }
      if (!fine) return false;
    }
    flush();
    if (reduced_ != nullptr) reduced_->append(text_.substr(reduced_to_));
    return true;
  }

  // current_setting was seen: strings are to be kept, from the front on.
  bool wants_strings() const { return wants_strings_; }
  void keep_strings() { keep_strings_ = true; }

 private:
  void flush() {
    key_.append(text_.substr(copied_, at_ - copied_));
    copied_ = at_;
  }
  // The text from `begin` to here is left out of the reduced text.
  void leave_out(size_t begin) {
    if (reduced_ == nullptr) return;
    reduced_->append(text_.substr(reduced_to_, begin - reduced_to_));
    reduced_to_ = at_;
  }

  bool skip_front() {
    while (at_ < text_.size()) {
      if (is_space(text_[at_])) {
        ++at_;
      } else if (text_[at_] != '-' && text_[at_] != '/') {
        return true;
      } else if (const size_t before = at_; !maybe_comment(true) || at_ == before + 1) {
        return false;
      }
    }
    return true;
  }

  bool at_word(size_t i) const { return i < text_.size() && is_in_word(text_[i]); }
  bool word() {
    const size_t begin = at_;
    at_ = end_of<is_in_word>(text_, at_);
    const std::string_view found(text_.data() + begin, at_ - begin);
    if (found.size() == 5 && same_word(found, "float")) return false;  // float(24) and float(25) are two types
    return understood(found);
  }
  bool understood(std::string_view name) {
    if (keep_strings_ || name.size() != 15 || !same_word(name, "current_setting")) return true;
    wants_strings_ = true;
    return false;
  }

  void replace(size_t begin) {
    if (collapse_ && copied_ == literal_end_ && copied_ != 0 && is_separator(text_.substr(copied_, begin - copied_))) {
      leave_out(copied_);
    } else {
      key_.append(text_.substr(copied_, begin - copied_));
      key_ += '?';
    }
    copied_ = literal_end_ = at_;
  }
  void number() {
    const size_t begin = at_;
    at_ = end_of<is_digit>(text_, at_);
    if (at_ < text_.size() && class_of(text_[at_]) == kWord) {  // 1e5, 0x1f, 1_000, 123abc: kept
      at_ = end_of<is_in_word>(text_, at_);
      return;
    }
    replace(begin);
  }
  bool quoted_name() {
    if (at_ > 0 && text_[at_ - 1] == '&') return false;  // U&"…"
    const size_t begin = at_ + 1;
    for (++at_; at_ < text_.size(); ++at_) {
      if (text_[at_] == '"') return understood(text_.substr(begin, at_++ - begin));
      if (class_of(text_[at_]) == kOdd) return false;
    }
    return false;
  }
  bool string() {
    // E'…', B'…', X'…', N'…', U&'…': a letter or & right in front.
    if (at_ > 0 && (at_word(at_ - 1) || text_[at_ - 1] == '&')) return false;
    const size_t begin = at_;
    for (++at_;; ++at_) {
      at_ = end_of<is_in_string>(text_, at_);
      if (at_ == text_.size() || class_of(text_[at_]) == kOdd) return false;
      if (at_ + 1 < text_.size() && text_[at_ + 1] == '\'') {
        ++at_;
        continue;
      }
      ++at_;
      if (!keep_strings_) replace(begin);
      return true;
    }
  }

  bool maybe_comment(bool in_front) {
    const char next = at_ + 1 < text_.size() ? text_[at_ + 1] : ' ';
    const bool line = text_[at_] == '-' && next == '-', block = text_[at_] == '/' && next == '*';
    if (!line && !block) return ++at_, true;
    if (cut_comments_) flush();
    const size_t begin = at_, end = end_of_comment(text_, at_);
    if (end == std::string_view::npos) return false;
    at_ = end;
    if (!cut_comments_ || (in_front && find_hint(text_.substr(begin, end - begin)) != Hint::kNone)) return true;
    key_.append(line ? "--" : "/**/");
    copied_ = at_;
    return true;
  }
  bool parameter() {  // $1, but no $tag$
    ++at_;
    if (at_ >= text_.size() || class_of(text_[at_]) != kDigit) return false;
    at_ = end_of<is_digit>(text_, at_);
    return !at_word(at_);
  }
  void mark() {
    flush();
    key_ += '\\';
    ++at_;
  }

  void open() {
    if (collapse_) {
      flush();
      group_ = key_.size();
      group_begin_ = at_;
      in_group_ = true;
    }
    ++at_;
  }
  // A group without groups in it, like the one before it, and only a comma between them: a row like the last.
  void close() {
    ++at_;
    if (!in_group_) return;
    in_group_ = false;
    flush();
    const std::string_view key(key_);
    if (last_end_ != 0 && is_separator(text_.substr(last_end_, group_begin_ - last_end_)) &&
        key.substr(last_, last_size_) == key.substr(group_)) {
      key_.resize(last_ + last_size_);
      if (reduced_ != nullptr) reduced_->resize(last_reduced_);  // some of the row may have been left out already
      reduced_to_ = at_;
    } else {
      last_ = group_;
      last_size_ = key_.size() - group_;
      leave_out(at_);
      if (reduced_ != nullptr) last_reduced_ = reduced_->size();
    }
    last_end_ = at_;
  }

  std::string_view text_;
  std::string& key_;
  std::string* reduced_;
  const bool cut_comments_, collapse_;
  bool keep_strings_ = false, wants_strings_ = false;
  size_t at_ = 0;
  size_t copied_ = 0;       // of the text, into the key
  size_t reduced_to_ = 0;   // of the text, into the reduced text
  size_t literal_end_ = 0;  // in the text
  bool in_group_ = false;
  size_t group_ = 0, group_begin_ = 0;      // where it begins, in the key and in the text
  size_t last_ = 0, last_size_ = 0;         // the group before it, in the key
  size_t last_end_ = 0, last_reduced_ = 0;  // its end, in the text and in the reduced text
};

bool write(std::string_view text, std::string& key, bool for_cache, std::string* reduced) {
  for (const bool keep_strings : {false, true}) {
    key.clear();
    if (reduced != nullptr) reduced->clear();
    Writer writer(text, key, for_cache, reduced);
    if (keep_strings) writer.keep_strings();
    if (writer.run()) return true;
    if (!writer.wants_strings()) break;
  }
  key.assign(text);
  if (reduced != nullptr) reduced->assign(text);
  return false;
}

}  // namespace

bool normalize(std::string_view text, std::string& key) { return write(text, key, false, nullptr); }

bool normalize_for_cache(std::string_view text, std::string& key, std::string* reduced) {
  return write(text, key, true, reduced);
}

}  // namespace pgb::sql
