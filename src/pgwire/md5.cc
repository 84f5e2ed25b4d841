#include "pgwire/md5.h"

#include "pgwire/digest.h"

namespace pgb::pgwire {
namespace {

constexpr std::string_view kPrefix = "md5";

Error no_md5() {
  return Error(Code::kInternal, "this machine's libcrypto refuses MD5, which the server asked for")
      .with("try", "set password_encryption = 'scram-sha-256' on the server and set the password anew");
}

}  // namespace

bool is_md5_stored(std::string_view text) {
  return text.size() == kPrefix.size() + 32 && text.substr(0, kPrefix.size()) == kPrefix &&
         text.find_first_not_of("0123456789abcdef", kPrefix.size()) == std::string_view::npos;
}

Result<Secret> md5_stored(const Secret& password, std::string_view user) {
  const auto hex = md5_hex(password.reveal() + std::string(user));
  if (!hex) return no_md5();
  return Secret(std::string(kPrefix) + *hex);
}

Result<Secret> md5_response(const Secret& password, std::string_view user, std::string_view salt) {
  auto stored = md5_stored(password, user);
  if (!stored) return stored;
  return md5_response_from_stored(*stored, salt);
}

Result<Secret> md5_response_from_stored(const Secret& stored, std::string_view salt) {
  const std::string& text = stored.reveal();
  if (!is_md5_stored(text)) {
    return Error(Code::kConfig, "a stored md5 password must be \"md5\" and 32 hex digits");
  }
  auto outer = md5_hex(text.substr(kPrefix.size()) + std::string(salt));
  if (!outer) return no_md5();
  return Secret(std::string(kPrefix) + *outer);
}

}  // namespace pgb::pgwire
