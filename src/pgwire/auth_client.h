// Logs in at a server: what to answer to each Authentication message.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/secret.h"
#include "pgwire/scram.h"

namespace pgb::pgwire {

struct AuthenticationRequest;

struct AuthStep {
  std::string send;   // framed bytes for the peer, maybe empty
  bool done = false;  // authenticated
};

class AuthClient {
 public:
  struct Options {
    bool allow_cleartext = false;  // only over a transport that cannot be overheard
    std::string end_point;  // over TLS: net::Stream::end_point(), for SCRAM's channel binding where it is offered
  };
  AuthClient(std::string user, Secret password, Options options);
  AuthClient(std::string user, Secret password) : AuthClient(std::move(user), std::move(password), Options{}) {}
  // SCRAM pass-through with the keys an AuthServer recovered.
  AuthClient(std::string user, ScramKeys keys, Options options);
  AuthClient(std::string user, ScramKeys keys) : AuthClient(std::move(user), std::move(keys), Options{}) {}

  // `payload`: of an Authentication message ('R'). kAuth: a method that we cannot or will not use, or a
  // server that failed to prove itself; kProtocol. ErrorResponse is the caller's to handle.
  Result<AuthStep> feed(std::string_view payload);

 private:
  Result<AuthStep> sasl(const AuthenticationRequest& request);
  Result<AuthStep> md5(std::string_view salt);

  std::string user_;
  Secret password_;
  std::optional<ScramKeys> keys_;
  Options options_;
  std::optional<ScramClient> scram_;
  bool server_verified_ = false;
};

}  // namespace pgb::pgwire
