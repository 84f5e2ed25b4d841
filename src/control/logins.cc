#include "control/logins.h"

#include <algorithm>

#include "base/log.h"
#include "pgwire/digest.h"

namespace pgb::control {
namespace {

// Who is not there costs as much time as who is.
bool refuse_slowly(const Secret& password) {
  proxy::UserSecret nobody;
  if (auto verifier = pgwire::build_scram_verifier(Secret("nobody"))) nobody.verifier = std::move(*verifier);
  [[maybe_unused]] const bool same = proxy::is_password(nobody, "", password);
  return false;
}

}  // namespace

Role Logins::role_of(const std::string& user) const {
  const ConfigPtr config = around_.config();
  if (config->pcp_users.count(user) != 0) return Role::kOperator;
  return control::role_of(user, config->admin_users, config->stats_users);
}

// A PCP user proves what stands in the list of these, also while no server can be asked.
Result<bool> Logins::knows(const std::string& user, const Secret& password) const {
  const ConfigPtr config = around_.config();
  const auto pcp = config->pcp_users.find(user);
  if (pcp != config->pcp_users.end()) {
    const auto md5 = pgwire::md5_hex(password.reveal());
    return md5 && pcp->second.equals(*md5);
  }
  if (control::role_of(user, config->admin_users, config->stats_users) == Role::kNobody) return refuse_slowly(password);
  const auto secret = around_.secret_of(user);
  if (!secret) return secret.error();
  if (secret->empty()) return refuse_slowly(password);
  return proxy::is_password(*secret, user, password);
}

Result<Logins::Session> Logins::log_in(const std::string& peer, const std::string& user, const Secret& password) {
  const auto known = knows(user, password);
  if (!known) {
    return Error(Code::kNotReady, "passwords cannot be checked now: " + known.error().message)
        .with("try", "again in a moment, or use a fixed token");
  }
  if (!*known) {
    log::info("REST: a login from " + peer + " failed");
    return Error(Code::kAuth, "user name or password is wrong, or the user may not use this interface");
  }
  limit_.good(peer);
  const Role role = role_of(user);
  const auto now = std::chrono::system_clock::now();
  log::info("REST: logged in", {{"user", user}, {"role", name_of(role)}, {"from", peer}});
  return Session{mint_.issue({user, role}, now, now + kLifetime), role};
}

std::optional<TokenClaims> Logins::who_has(std::string_view token) const {
  auto claims = mint_.read(token, std::chrono::system_clock::now());
  if (!claims) return std::nullopt;
  claims->role = std::min(claims->role, role_of(claims->user));
  if (claims->role == Role::kNobody) return std::nullopt;
  return claims;
}

}  // namespace pgb::control
