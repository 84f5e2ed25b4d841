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

// The length of the UTF-8 character that begins with `lead`; 0: none does.
size_t length_of(unsigned char lead) {
  if (lead < 0x80) return 1;
  if (lead >= 0xc2 && lead <= 0xdf) return 2;
  if (lead >= 0xe0 && lead <= 0xef) return 3;
  return lead >= 0xf0 && lead <= 0xf4 ? 4 : 0;
}

bool is_utf8(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const auto lead = static_cast<unsigned char>(text[i]);
    const size_t length = length_of(lead);
    if (length == 0 || i + length > text.size()) return false;
    for (size_t k = 1; k < length; ++k) {
      if ((static_cast<unsigned char>(text[i + k]) & 0xc0) != 0x80) return false;
    }
    if (length > 2) {  // overlong, surrogate, beyond the last
      const auto second = static_cast<unsigned char>(text[i + 1]);
      if ((lead == 0xe0 && second < 0xa0) || (lead == 0xed && second > 0x9f)) return false;
      if ((lead == 0xf0 && second < 0x90) || (lead == 0xf4 && second > 0x8f)) return false;
    }
    i += length;
  }
  return true;
}

std::string as_utf8(std::string_view text) {
  if (is_utf8(text)) return std::string(text);
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x80) {
      out += c;
    } else {
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
      if (*json == '\\' && json[1] != '\0') ++json;
      else if (*json == '"') in_string = false;
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
