#include "sql/parse.h"

#include <pg_query.h>
#include <pthread.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>

namespace pgb::sql {
namespace {

// Measured: a level of nesting costs the grammar at most 3 KB of stack and 9 bytes of text ("(select "), or 130 bytes
// of stack and 2 bytes of text ("1+"). This much text is safe on a small stack, the rest gets a large one of its own.
constexpr size_t kSmallText = 2048;
constexpr size_t kLargeStack = size_t{64} << 20;

// The length of the UTF-8 character at `at`; 0: there is none.
size_t length_of(std::string_view text, size_t at) {
  const auto byte = [&](size_t i) { return at + i < text.size() ? static_cast<unsigned char>(text[at + i]) : 0u; };
  const unsigned lead = byte(0), second = byte(1);
  if (lead < 0x80) return 1;
  if (lead < 0xc2 || lead > 0xf4) return 0;
  const size_t length = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
  }
  // Overlong, a surrogate, beyond the last.
  if ((lead == 0xe0 && second < 0xa0) || (lead == 0xed && second > 0x9f)) return 0;
  if ((lead == 0xf0 && second < 0x90) || (lead == 0xf4 && second > 0x8f)) return 0;
  return length;
}

// What is no UTF-8 becomes what it is in Latin-1, byte by byte: a literal has no influence on how a name is read.
std::string as_utf8(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size();) {
    const size_t length = length_of(text, i);
    if (length != 0) {
      out.append(text.substr(i, length));
      i += length;
    } else {
      const unsigned byte = static_cast<unsigned char>(text[i++]);
      out += static_cast<char>(0xc0 | byte >> 6);
      out += static_cast<char>(0x80 | (byte & 0x3f));
    }
  }
  return out;
}

bool is_too_deep(const char* json) {
  int depth = 0;
  bool in_string = false;
  for (; *json != '\0'; ++json) {
    if (in_string) {
      if (*json == '\\' && json[1] != '\0')
        ++json;
      else if (*json == '"')
        in_string = false;
    } else if (*json == '"') {
      in_string = true;
    } else if (*json == '{' || *json == '[') {
      if (++depth > kMaxDepth) return true;
    } else if (*json == '}' || *json == ']') {
      --depth;
    }
  }
  return false;
}

struct Job {
  const std::string& text;
  const std::function<void(const nlohmann::json&)>& then;
  ParseEnd end = ParseEnd::kSyntax;

  void run() {
    PgQueryParseResult parsed = pg_query_parse(text.c_str());
    nlohmann::json tree;
    if (parsed.error == nullptr && parsed.parse_tree != nullptr) {
      if (is_too_deep(parsed.parse_tree)) {
        end = ParseEnd::kTooDeep;
      } else {
        tree = nlohmann::json::parse(parsed.parse_tree, nullptr, false);
      }
    }
    pg_query_free_parse_result(parsed);
    if (!tree.is_object()) return;
    end = ParseEnd::kOk;
    then(tree);
  }
};

}  // namespace

ParseEnd parse(std::string_view text, const std::function<void(const nlohmann::json&)>& then) {
  const std::string copy = as_utf8(text);
  Job job{copy, then};
  if (text.size() <= kSmallText) {
    job.run();
    return job.end;
  }
  pthread_attr_t how;
  if (pthread_attr_init(&how) != 0) return ParseEnd::kNoMemory;
  pthread_attr_setstacksize(&how, kLargeStack);
  pthread_t thread;
  const auto body = [](void* self) -> void* {
    try {
      static_cast<Job*>(self)->run();
    } catch (...) {
      static_cast<Job*>(self)->end = ParseEnd::kNoMemory;
    }
    return nullptr;
  };
  const bool started = pthread_create(&thread, &how, body, &job) == 0;
  pthread_attr_destroy(&how);
  if (!started) return ParseEnd::kNoMemory;
  pthread_join(thread, nullptr);
  return job.end;
}

}  // namespace pgb::sql
