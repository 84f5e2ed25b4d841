#include "dcs/etcd_error.h"

#include "base/strings.h"

namespace pgb::dcs {
namespace {

// gRPC's codes, as the gateway passes them on.
enum Grpc {
  kInvalidArgument = 3,
  kNotFound = 5,
  kDenied = 7,
  kExhausted = 8,
  kPrecondition = 9,
  kOutOfRange = 11,
  kUnavailable = 14,
  kUnauthenticated = 16
};

bool has(const std::string& text, const char* part) { return text.find(part) != std::string::npos; }

std::string message_of(const Json& body) {
  for (const char* name : {"message", "error"}) {
    const Json& text = member(body, name);
    if (text.is_string()) return text.get<std::string>();
    if (text.is_object()) return message_of(text);  // in a stream
  }
  return "no reason given";
}

int64_t code_of(const Json& body) {
  const Json& inner = member(body, "error");
  const Json& holder = inner.is_object() ? inner : body;
  for (const char* name : {"code", "grpc_code"}) {
    const auto code = read_number(holder, name);
    if (code && *code != 0) return *code;
  }
  return 0;
}

Code meaning(int64_t code, const std::string& text, bool harmless) {
  if (has(text, "no leader") || has(text, "too many requests")) return Code::kNotReady;
  if (has(text, "space exceeded") || code == kExhausted) return Code::kDiskFull;
  if (has(text, "compacted")) return Code::kCompacted;
  if (code == kUnauthenticated || code == kDenied || has(text, "authentication") || has(text, "user name is empty"))
    return Code::kAuth;
  if (code == kNotFound) return Code::kNotFound;
  if (code == kInvalidArgument || code == kOutOfRange) return Code::kProtocol;
  if (code == kPrecondition) return Code::kNotReady;
  return harmless ? Code::kNotReady : Code::kInDoubt;
}

}  // namespace

Refusal refusal_of(const std::string& endpoint, int status, const Json& body, bool harmless) {
  const std::string text = message_of(body);
  const int64_t code = code_of(body);
  Refusal refusal;
  refusal.error =
      Error(meaning(code, text, harmless), endpoint + ": " + text + " (HTTP " + std::to_string(status) + ")");
  refusal.login =
      has(text, "invalid auth token") || has(text, "user name is empty") || has(text, "revision in header is old");
  return refusal;
}

}  // namespace pgb::dcs
