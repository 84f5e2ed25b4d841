// Who may use the REST interface: a fixed token, or one that a user got for his password. The users are those of PCP
// and of the console, with the same passwords and the same rights there.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "base/result.h"
#include "base/secret.h"
#include "control/access.h"
#include "control/balancer_config.h"
#include "control/json_web_token.h"
#include "control/login_limit.h"
#include "proxy/user_secret.h"

namespace pgb::control {

class Logins {
 public:
  struct Surroundings {
    std::function<ConfigPtr()> config;  // in force; must not wait
    // What is known of the password of a user of the servers; kNotReady: nobody could be asked. May wait.
    std::function<Result<proxy::UserSecret>(const std::string& user)> secret_of;
  };
  struct Session {
    std::string token;
    Role role = Role::kNobody;
  };
  static constexpr std::chrono::seconds kLifetime{3600};  // of a token

  // `token_key`: of the process before; empty: a new one.
  explicit Logins(Surroundings surroundings, Secret token_key = {})
      : around_(std::move(surroundings)), mint_(std::move(token_key)) {}

  // Zero: a login from that address may be tried; else how long it has to wait.
  LoginLimit::Seconds must_wait(const std::string& peer) {
    return limit_.attempt(peer, std::chrono::steady_clock::now());
  }
  // kAuth: no such user, wrong password, or he may not even look; kNotReady: his password cannot be checked now.
  Result<Session> log_in(const std::string& peer, const std::string& user, const Secret& password);

  const Secret& token_key() const { return mint_.key(); }

  // Whose token it is, with the rights that he has now; nothing if it is none, or he has none any more.
  std::optional<TokenClaims> who_has(std::string_view token) const;

 private:
  Role role_of(const std::string& user) const;
  Result<bool> knows(const std::string& user, const Secret& password) const;

  const Surroundings around_;
  const TokenMint mint_;
  LoginLimit limit_;
};

}  // namespace pgb::control
