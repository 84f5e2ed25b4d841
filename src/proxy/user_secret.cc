#include "proxy/user_secret.h"

#include "pgwire/digest.h"
#include "pgwire/md5.h"

namespace pgb::proxy {
namespace {

constexpr size_t kSaltSize = 16;  // as a server's

}  // namespace

Result<UserSecret> read_user_secret(const std::string& user, std::string_view text, const Secret& salt_secret) {
  UserSecret secret;
  if (text.rfind("SCRAM-SHA-256$", 0) == 0) {
    auto verifier = pgwire::parse_scram_verifier(text);
    if (!verifier) return std::move(verifier).error();
    secret.verifier = std::move(*verifier);
    return secret;
  }
  if (pgwire::is_md5_stored(text)) {
    secret.md5 = Secret(std::string(text));
    return secret;
  }
  if (text.empty()) return secret;
  secret.password = Secret(std::string(text));
  auto verifier = pgwire::build_scram_verifier(
      secret.password, pgwire::hmac_sha256(salt_secret.reveal(), "salt of " + user).substr(0, kSaltSize));
  if (!verifier) return std::move(verifier).error();
  secret.verifier = std::move(*verifier);
  // Without MD5 in libcrypto such a user logs in by SCRAM only.
  if (auto md5 = pgwire::md5_stored(secret.password, user)) secret.md5 = std::move(*md5);
  return secret;
}

bool is_password(const UserSecret& secret, const std::string& user, const Secret& password) {
  if (password.empty()) return false;
  if (secret.verifier) {
    const auto given = pgwire::build_scram_verifier(password, secret.verifier->salt, secret.verifier->iterations);
    return given && given->stored_key == secret.verifier->stored_key;
  }
  const auto given = pgwire::md5_stored(password, user);
  return given && !secret.md5.empty() && *given == secret.md5;
}

}  // namespace pgb::proxy
