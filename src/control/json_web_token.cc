#include "control/json_web_token.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "pgwire/digest.h"

namespace pgb::control {
namespace {

using nlohmann::json;

constexpr size_t kKeyBytes = 32;
constexpr size_t kLongest = 4096;
constexpr char kIssuer[] = "pgbalancer";

int64_t seconds_of(TokenMint::Time time) {
  return std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch()).count();
}

// base64url without padding (RFC 7515, appendix C).
std::string to_url(std::string text) {
  std::replace(text.begin(), text.end(), '+', '-');
  std::replace(text.begin(), text.end(), '/', '_');
  text.erase(text.find_last_not_of('=') + 1);
  return text;
}

std::optional<std::string> from_url(std::string_view part) {
  std::string text(part);
  if (text.find_first_of("+/=") != std::string::npos) return std::nullopt;
  std::replace(text.begin(), text.end(), '-', '+');
  std::replace(text.begin(), text.end(), '_', '/');
  text.append((4 - text.size() % 4) % 4, '=');
  return pgwire::from_base64(text);
}

// The one header that we write is the one that we read, byte for byte.
const std::string& header() {
  static const std::string kHeader = to_url(pgwire::base64(R"({"alg":"HS256","typ":"JWT"})"));
  return kHeader;
}

std::optional<TokenClaims> claims_of(const json& payload, TokenMint::Time now) {
  if (!payload.is_object()) return std::nullopt;
  const auto sub = payload.find("sub"), role = payload.find("role"), exp = payload.find("exp");
  if (sub == payload.end() || !sub->is_string() || role == payload.end() || exp == payload.end()) return std::nullopt;
  if (!exp->is_number_integer() || exp->get<int64_t>() <= seconds_of(now)) return std::nullopt;
  TokenClaims claims{sub->get<std::string>(), Role::kNobody};
  if (*role == name_of(Role::kOperator)) claims.role = Role::kOperator;
  if (*role == name_of(Role::kViewer)) claims.role = Role::kViewer;
  return claims;
}

}  // namespace

TokenMint::TokenMint(Secret key) : key_(key.empty() ? Secret(pgwire::random_bytes(kKeyBytes)) : std::move(key)) {}

std::string TokenMint::signature(std::string_view signed_part) const {
  return to_url(pgwire::base64(pgwire::hmac_sha256(key_.reveal(), signed_part)));
}

std::string TokenMint::issue(const TokenClaims& claims, Time now, Time expires) const {
  const json payload = {{"iss", kIssuer},
                        {"sub", claims.user},
                        {"role", name_of(claims.role)},
                        {"iat", seconds_of(now)},
                        {"exp", seconds_of(expires)}};
  std::string token =
      header() + "." + to_url(pgwire::base64(payload.dump(-1, ' ', false, json::error_handler_t::replace)));
  return token + "." + signature(token);
}

std::optional<TokenClaims> TokenMint::read(std::string_view token, Time now) const {
  const size_t first = token.find('.'), last = token.rfind('.');
  if (token.size() > kLongest || first == std::string_view::npos || first == last) return std::nullopt;
  const std::string_view signed_part = token.substr(0, last);
  if (!Secret(signature(signed_part)).equals(token.substr(last + 1))) return std::nullopt;
  if (token.substr(0, first) != header()) return std::nullopt;
  const auto payload = from_url(token.substr(first + 1, last - first - 1));
  if (!payload) return std::nullopt;
  return claims_of(json::parse(*payload, nullptr, false), now);
}

}  // namespace pgb::control
