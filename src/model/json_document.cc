#include "model/json_document.h"

#include <cctype>
#include <unordered_map>

#include "base/strings.h"

namespace pgb::model {

const JsonValue* JsonValue::find(std::string_view name) const {
  if (kind != Kind::kObject) return nullptr;
  for (const auto& item : items) {
    if (item.key == name) return &item;
  }
  return nullptr;
}

std::string_view kind_name(JsonValue::Kind kind) {
  switch (kind) {
    case JsonValue::Kind::kNull: return "null";
    case JsonValue::Kind::kBool: return "true or false";
    case JsonValue::Kind::kNumber: return "a number";
    case JsonValue::Kind::kString: return "a string";
    case JsonValue::Kind::kArray: return "an array";
    case JsonValue::Kind::kObject: return "an object";
  }
  return "a value";
}

namespace {

constexpr size_t kMaxBytes = 16 << 20;
constexpr int kMaxDepth = 64;
constexpr size_t kMaxValues = 200000;

void append_utf8(std::string& out, uint32_t code) {
  if (code < 0x80) {
    out += static_cast<char>(code);
    return;
  }
  const int extra = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
  const uint32_t lead = extra == 1 ? 0xC0 : extra == 2 ? 0xE0 : 0xF0;
  out += static_cast<char>(lead | code >> (6 * extra));
  for (int i = extra - 1; i >= 0; --i) out += static_cast<char>(0x80 | (code >> (6 * i) & 0x3F));
}

class Parser {
 public:
  Parser(std::string_view text, Mistakes& mistakes) : text_(text), mistakes_(mistakes) {}

  bool document(JsonValue& root) {
    if (!encoding()) return false;
    blanks();
    if (at_end())
      return fail(Place{1, 1}, "the file is empty; the shortest cluster file is {\"cluster_name\": \"demo\"}");
    if (!value(root, 1)) return false;
    blanks();
    if (!at_end()) return fail(place(), "the file goes on after its last brace; remove what follows");
    return true;
  }

 private:
  bool at_end() const { return at_ >= text_.size(); }
  char peek() const { return at_end() ? '\0' : text_[at_]; }
  Place place() const { return {line_, static_cast<int>(at_ - line_start_) + 1}; }

  bool fail(Place where, std::string what) {
    mistakes_.add(where, "", std::move(what));
    return false;
  }

  bool encoding() {
    if (text_.substr(0, 2) == "\xFF\xFE" || text_.substr(0, 2) == "\xFE\xFF") {
      return fail({1, 1}, "the file is UTF-16; save it as UTF-8");
    }
    int line = 1;
    size_t start = 0;
    for (size_t i = 0; i < text_.size();) {
      const size_t length = utf8_length(text_, i);
      if (length == 0) return fail({line, static_cast<int>(i - start) + 1}, "not valid UTF-8; save the file as UTF-8");
      if (text_[i] == '\n') {
        ++line;
        start = i + 1;
      }
      i += length;
    }
    if (text_.substr(0, 3) == "\xEF\xBB\xBF") {
      fail({1, 1}, "the file begins with a byte order mark; save it as UTF-8 without one");
      at_ = 3;
    }
    return true;
  }

  void skip_line() {
    while (!at_end() && peek() != '\n') ++at_;
  }

  void skip_block() {
    const size_t end = text_.find("*/", at_ + 2);
    const size_t stop = end == std::string_view::npos ? text_.size() : end + 2;
    for (; at_ < stop; ++at_) {
      if (text_[at_] == '\n') new_line();
    }
  }

  void new_line() {
    ++line_;
    line_start_ = at_ + 1;
  }

  // Blanks, and comments, which are a mistake but a readable one.
  void blanks() {
    while (!at_end()) {
      const char c = peek();
      if (c == '\n') {
        new_line();
        ++at_;
      } else if (c == ' ' || c == '\t' || c == '\r') {
        ++at_;
      } else if (c == '#' || text_.substr(at_, 2) == "//") {
        comment();
        skip_line();
      } else if (text_.substr(at_, 2) == "/*") {
        comment();
        skip_block();
      } else {
        return;
      }
    }
  }

  void comment() {
    if (!comment_seen_) mistakes_.add(place(), "", "JSON has no comments; remove this one and any other");
    comment_seen_ = true;
  }

  bool value(JsonValue& out, int depth) {
    out.place = place();
    if (depth > kMaxDepth) return fail(place(), "nested more than 64 levels deep; a cluster file needs 7");
    if (++values_ > kMaxValues) return fail(place(), "more than 200000 values; this is not a cluster file");
    switch (peek()) {
      case '{': out.kind = JsonValue::Kind::kObject; return container(out, depth, '}');
      case '[': out.kind = JsonValue::Kind::kArray; return container(out, depth, ']');
      case '"': out.kind = JsonValue::Kind::kString; return string(out.text);
      default: return at_end() ? truncated() : word(out);
    }
  }

  bool truncated() {
    if (open_.empty()) return fail(place(), "the file ends too early");
    const auto& [closer, where] = open_.back();
    return fail(place(), std::string("the file ends too early: the ") + (closer == '}' ? "object" : "array") +
                             " begun on line " + std::to_string(where.line) + " lacks its " + closer);
  }

  bool container(JsonValue& out, int depth, char closer) {
    open_.emplace_back(closer, place());
    ++at_;
    std::unordered_map<std::string, int> seen;
    for (;;) {
      blanks();
      if (peek() == closer) break;
      if (at_end()) return truncated();
      if (peek() == ',')
        return fail(place(), out.items.empty() ? "a comma too many" : "two commas in a row; remove one");
      JsonValue item;
      if (closer == '}' && !key(item, seen)) return false;
      if (!value(item, depth + 1)) return false;
      out.items.push_back(std::move(item));
      if (!separator(closer)) return false;
    }
    ++at_;
    open_.pop_back();
    return true;
  }

  bool key(JsonValue& item, std::unordered_map<std::string, int>& seen) {
    item.key_place = place();
    if (peek() == '\'') return fail(place(), "single quotes; JSON wants double quotes");
    if (peek() != '"') return fail(place(), std::string("expected a key in double quotes here, or }") + found());
    if (!string(item.key)) return false;
    const auto [first, fresh] = seen.emplace(item.key, item.key_place.line);
    if (!fresh) {
      mistakes_.add(item.key_place, "",
                    "the key " + shown(item.key) + " is given twice; it stands on line " +
                        std::to_string(first->second) + " already, keep one");
    }
    blanks();
    if (at_end()) return truncated();
    if (peek() != ':') return fail(place(), "expected : after the key " + shown(item.key) + found());
    ++at_;
    blanks();
    if (peek() == ',' || peek() == '}') return fail(place(), "the key " + shown(item.key) + " has no value");
    return true;
  }

  // After an item: a comma, or the closer. A comma too many and one too few can be read over.
  bool separator(char closer) {
    const Place before = place();
    blanks();
    if (at_end()) return truncated();
    if (peek() == closer) return true;
    if (peek() == ',') {
      const Place comma = place();
      ++at_;
      blanks();
      if (peek() == closer) mistakes_.add(comma, "", std::string("a comma before ") + closer + "; remove it");
      return true;
    }
    const char c = peek();
    if (c == '"' || c == '{' || c == '[') {
      mistakes_.add(before, "", "a comma is missing here");
      return true;
    }
    return fail(place(), std::string("expected , or ") + closer + found());
  }

  std::string found() const {
    if (at_end()) return ", but the file ends";
    if (peek() == '"') return ", not a string";
    const auto is_letter = [](char c) { return c == '_' || std::isalnum(static_cast<unsigned char>(c)) != 0; };
    size_t end = at_ + 1;
    while (end < text_.size() && end - at_ < 20 && is_letter(text_[end])) ++end;
    while (end < text_.size() && (static_cast<unsigned char>(text_[end]) & 0xC0) == 0x80) ++end;
    return ", not " + shown(text_.substr(at_, end - at_));
  }

  bool hex4(uint32_t& code) {
    code = 0;
    for (int i = 0; i < 4; ++i, ++at_) {
      const char c = peek();
      if (std::isxdigit(static_cast<unsigned char>(c)) == 0) return fail(place(), "\\u wants four hexadecimal digits");
      code = code << 4 | static_cast<uint32_t>(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
    }
    return true;
  }

  bool unicode(std::string& out, Place start) {
    uint32_t code = 0;
    if (!hex4(code)) return false;
    if (code >= 0xD800 && code < 0xDC00 && text_.substr(at_, 2) == "\\u") {
      at_ += 2;
      uint32_t low = 0;
      if (!hex4(low)) return false;
      if (low < 0xDC00 || low > 0xDFFF) return fail(start, "half of a surrogate pair; write the character itself");
      code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
    } else if (code >= 0xD800 && code <= 0xDFFF) {
      return fail(start, "half of a surrogate pair; write the character itself");
    }
    append_utf8(out, code);
    return true;
  }

  bool escape(std::string& out) {
    static constexpr std::string_view kLetters = "\"\\/bfnrt";
    static constexpr std::string_view kMeant = "\"\\/\b\f\n\r\t";
    const Place start = place();
    ++at_;
    const char c = peek();
    if (at_end()) return truncated();
    ++at_;
    if (c == 'u') return unicode(out, start);
    const size_t index = kLetters.find(c);
    if (index == std::string_view::npos) return fail(start, "unknown escape; a backslash itself is written \\\\");
    out += kMeant[index];
    return true;
  }

  bool string(std::string& out) {
    const Place start = place();
    ++at_;
    for (;;) {
      if (at_end()) return fail(start, "this string has no closing quote");
      const char c = peek();
      if (c == '\n') return fail(start, "this string has no closing quote on its line");
      if (static_cast<unsigned char>(c) < 0x20) {
        return fail(place(), "a control character in a string; write it as \\t or \\u00XX");
      }
      if (c == '\\') {
        if (!escape(out)) return false;
        continue;
      }
      ++at_;
      if (c == '"') return true;
      out += c;
    }
  }

  bool word(JsonValue& out) {
    const size_t start = at_;
    while (!at_end() && std::string_view(" \t\r\n,:]}[{\"#/").find(peek()) == std::string_view::npos) ++at_;
    const std::string_view text = text_.substr(start, at_ - start);
    if (text == "true" || text == "false") {
      out.kind = JsonValue::Kind::kBool;
      out.boolean = text == "true";
      return true;
    }
    if (text == "null") return true;
    if (is_number(text)) {
      out.kind = JsonValue::Kind::kNumber;
      out.text = text;
      return true;
    }
    return fail(out.place, bad_word(text));
  }

  std::string bad_word(std::string_view text) const {
    if (text.empty()) return "expected a value" + found();
    if (text[0] == '\'') return "single quotes; JSON wants double quotes";
    if (text == "True" || text == "False") return "JSON writes true and false in small letters";
    if (text == "None" || text == "nil" || text == "undefined") return shown(text) + " is not JSON; leave the key out";
    if (text[0] == '+') return "a number has no + in front";
    if (text[0] == '0' && text.size() > 1 && std::isdigit(static_cast<unsigned char>(text[1])) != 0) {
      return "a number has no leading zero";
    }
    return shown(text) + " is not a JSON value; text stands in double quotes";
  }

  static bool is_number(std::string_view text) {
    size_t i = 0;
    const auto digits = [&] {
      const size_t from = i;
      while (i < text.size() && std::isdigit(static_cast<unsigned char>(text[i])) != 0) ++i;
      return i - from;
    };
    if (i < text.size() && text[i] == '-') ++i;
    const bool zero = i < text.size() && text[i] == '0';
    const size_t whole = digits();
    if (whole == 0 || (zero && whole > 1)) return false;
    if (i < text.size() && text[i] == '.' && (++i, digits() == 0)) return false;
    if (i < text.size() && (text[i] | 0x20) == 'e') {
      ++i;
      if (i < text.size() && (text[i] == '+' || text[i] == '-')) ++i;
      if (digits() == 0) return false;
    }
    return i == text.size();
  }

  std::string_view text_;
  Mistakes& mistakes_;
  size_t at_ = 0;
  int line_ = 1;
  size_t line_start_ = 0;
  size_t values_ = 0;
  bool comment_seen_ = false;
  std::vector<std::pair<char, Place>> open_;
};

}  // namespace

bool parse_json(std::string_view text, JsonValue& root, Mistakes& mistakes) {
  if (text.size() > kMaxBytes) {
    mistakes.add({}, "", "the file is larger than 16 MiB; this is not a cluster file");
    return false;
  }
  return Parser(text, mistakes).document(root);
}

std::optional<Place> place_of(std::string_view text, std::string_view path) {
  Mistakes mistakes;
  JsonValue root;
  if (!parse_json(text, root, mistakes)) return std::nullopt;
  const JsonValue* at = &root;
  for (const std::string& part : split(path, '.')) {
    const size_t bracket = part.find('[');
    at = at->find(std::string_view(part).substr(0, bracket));
    if (at == nullptr || bracket == std::string::npos) {
      if (at == nullptr) return std::nullopt;
      continue;
    }
    const auto index = parse_u64(part.substr(bracket + 1, part.size() - bracket - 2));
    if (!index || !at->is(JsonValue::Kind::kArray) || *index >= at->items.size()) return std::nullopt;
    at = &at->items[*index];
  }
  return at->place;
}

}  // namespace pgb::model
