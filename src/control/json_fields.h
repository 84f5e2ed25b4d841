// Takes values out of a JSON object and notes every mistake under its full key. Only for .cc files.
#pragma once

#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/secret.h"

namespace pgb::control {

using Json = nlohmann::json;

// kConfig if the text is no JSON object, or gives a key twice. No message shows a value: it may be a password.
Result<Json> parse_object(std::string_view text);

class Fields {
 public:
  // `prefix` stands before every key in messages: "nodes[0].". The object and the list must live longer.
  Fields(const Json& object, std::string prefix, std::vector<std::string>& mistakes)
      : object_(object), prefix_(std::move(prefix)), mistakes_(mistakes) {}

  // Each leaves `out` as it is when the key is absent or wrong.
  void text(const char* key, std::string& out, bool needed = false);
  void texts(const char* key, std::vector<std::string>& out);  // a list of texts, none of them empty
  void secret(const char* key, Secret& out, bool needed = false);
  void host(const char* key, std::string& out, bool needed = false);
  void host_or_name(const char* key, std::string& out, bool needed = false);
  void flag(const char* key, bool& out);
  void real(const char* key, double& out, double least, double most);
  void choice(const char* key, std::string& out, const std::vector<std::string_view>& choices);
  template <class T>
  void number(const char* key, T& out, uint64_t least, uint64_t most) {
    const Json* value = find(key, false);
    if (value == nullptr) return;
    if (!value->is_number_unsigned() || value->get<uint64_t>() < least || value->get<uint64_t>() > most) {
      return wrong(key, "must be a whole number from " + std::to_string(least) + " to " + std::to_string(most));
    }
    out = static_cast<T>(value->get<uint64_t>());
  }

  // The member; null if there is none.
  const Json* find(const char* key, bool needed);
  void wrong(const std::string& key, const std::string& what);
  // To be called last: every key that nobody asked for is a mistake.
  void no_others();

 private:
  const Json& object_;
  std::string prefix_;
  std::vector<std::string>& mistakes_;
  std::set<std::string> known_;
};

}  // namespace pgb::control
