#include "runtime/docker_error.h"

#include "base/strings.h"

namespace pgb::runtime {
namespace {

std::string lower(std::string_view text) {
  std::string result(text);
  for (char& c : result) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  return result;
}

struct Meaning {
  const char* sign;  // in lower case
  Code code;
  const char* advice;
};

// In this order: the first sign that the sentence holds decides.
constexpr Meaning kMeanings[] = {
    {"no space left on device", Code::kDiskFull, "free some space: docker system df shows what uses it"},
    {"port is already allocated", Code::kPortInUse, "give another port in the cluster file"},
    {"ports are not available", Code::kPortInUse, "give another port in the cluster file"},
    {"bind: address already in use", Code::kPortInUse, "give another port in the cluster file"},
    {"failed to bind", Code::kPortInUse, "give another port in the cluster file"},
    {"pool overlaps", Code::kSubnetInUse, "give another network.subnet in the cluster file"},
    {"address already in use", Code::kSubnetInUse, "another container has this address: give another ip_address"},
    {"no such image", Code::kImage, "docker pull it, or name another postgres.image"},
    {"already in use by container", Code::kNameInUse, "rename or remove it, or give another name in the cluster file"},
    {"already exists", Code::kNameInUse, "rename or remove it, or give another name in the cluster file"},
};

}  // namespace

Error engine_error(const std::string& doing, int status, std::string_view sentence) {
  std::string text = join(split(trim(sentence), '\n'), " ");
  if (text.empty()) text = "the engine answered with HTTP status " + std::to_string(status);
  std::string searched = lower(text);
  std::string message = doing + ": " + text;
  for (const Meaning& meaning : kMeanings) {
    if (searched.find(meaning.sign) != std::string::npos) {
      return Error(meaning.code, std::move(message)).with("try", meaning.advice);
    }
  }
  return Error(status == 404 ? Code::kNotFound : Code::kEngine, std::move(message));
}

}  // namespace pgb::runtime
