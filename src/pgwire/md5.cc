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

Result<Secret> md5_response(const Secret& password, std::string_view user, std::string_view salt) {
  auto inner = md5_hex(password.reveal() + std::string(user));
  if (!inner) return no_md5();
  return md5_response_from_stored(Secret(std::string(kPrefix) + *inner), salt);
}

Result<Secret> md5_response_from_stored(const Secret& stored, std::string_view salt) {
  const std::string& text = stored.reveal();
  if (text.size() != kPrefix.size() + 32 || text.compare(0, kPrefix.size(), kPrefix) != 0) {
    return Error(Code::kConfig, "a stored md5 password must be \"md5\" and 32 hex digits");
  }
  auto outer = md5_hex(text.substr(kPrefix.size()) + std::string(salt));
  if (!outer) return no_md5();
  return Secret(std::string(kPrefix) + *outer);
}

}  // namespace pgb::pgwire
