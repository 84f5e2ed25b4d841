// Tokens that say who logged in, for a while: JSON Web Tokens (RFC 7519) with HMAC-SHA-256, of this process and of
// those that take over from it.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "base/secret.h"
#include "control/access.h"

namespace pgb::control {

struct TokenClaims {
  std::string user;
  Role role = Role::kNobody;
};

class TokenMint {
 public:
  using Time = std::chrono::system_clock::time_point;

  // Empty: with a random key. Tokens end with the process at the latest, unless the next one is given its key.
  explicit TokenMint(Secret key = {});
  const Secret& key() const { return key_; }

  // Good from now on until `expires`.
  std::string issue(const TokenClaims& claims, Time now, Time expires) const;
  // Nothing unless the token is one of ours, unaltered, and good at this moment. Which algorithm is used is ours to
  // say: a token whose header says another one, or none, is not ours.
  std::optional<TokenClaims> read(std::string_view token, Time now) const;

 private:
  std::string signature(std::string_view signed_part) const;
  const Secret key_;
};

}  // namespace pgb::control
