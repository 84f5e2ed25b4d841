#include "control/console_syntax.h"

#include <algorithm>
#include <cctype>

namespace pgb::control {
namespace {

constexpr size_t kMostWords = 64;

class Cutter {
 public:
  explicit Cutter(std::string_view text) : text_(text) {}

  Result<std::vector<Word>> words() {
    std::vector<Word> found;
    bool ended = false;
    for (;;) {
      PGB_TRY(skip());
      if (at_ == text_.size()) break;
      if (text_[at_] == ';') {
        ended = true;
        ++at_;
        continue;
      }
      if (ended) return Error(Code::kUsage, "one command at a time");
      if (found.size() == kMostWords) return Error(Code::kUsage, "a command has 64 words at most");
      auto next = word();
      if (!next) return std::move(next).error();
      found.push_back(std::move(*next));
    }
    return found;
  }

 private:
  bool begins(std::string_view what) const { return text_.substr(at_, what.size()) == what; }

  // Over blanks and comments.
  Status skip() {
    for (;;) {
      while (at_ < text_.size() && std::isspace(static_cast<unsigned char>(text_[at_])) != 0) ++at_;
      if (begins("--")) {
        at_ = std::min(text_.find('\n', at_), text_.size());
      } else if (begins("/*")) {
        const size_t end = text_.find("*/", at_ + 2);
        if (end == std::string_view::npos) return Error(Code::kUsage, "a comment does not end");
        at_ = end + 2;
      } else {
        return Status();
      }
    }
  }

  Result<Word> word() {
    const char first = text_[at_];
    if (first == '"' || first == '\'') return quoted(first);
    if (first == '=') {
      ++at_;
      return Word{"=", false};
    }
    Word out;
    while (at_ < text_.size() && !ends_word(text_[at_])) {
      if (text_[at_] == '\0') return Error(Code::kUsage, "a command holds no zero byte");
      out.text += static_cast<char>(std::tolower(static_cast<unsigned char>(text_[at_++])));
    }
    return out;
  }

  static bool ends_word(char c) {
    return std::isspace(static_cast<unsigned char>(c)) != 0 || c == ';' || c == '=' || c == '"' || c == '\'';
  }

  // Two quotes stand for one.
  Result<Word> quoted(char quote) {
    Word out{"", true};
    for (++at_; at_ < text_.size(); ++at_) {
      if (text_[at_] == '\0') break;
      if (text_[at_] != quote) {
        out.text += text_[at_];
      } else if (at_ + 1 < text_.size() && text_[at_ + 1] == quote) {
        out.text += text_[at_++];
      } else {
        ++at_;
        return out;
      }
    }
    return Error(Code::kUsage, "a quoted name does not end");
  }

  const std::string_view text_;
  size_t at_ = 0;
};

}  // namespace

Result<std::vector<Word>> words_of(std::string_view text) { return Cutter(text).words(); }

}  // namespace pgb::control
