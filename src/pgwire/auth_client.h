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

// What is known of a user, to log in as him. None of it, or any part; what a server asks for decides which is used.
struct Credentials {
  Secret password;                // in clear: does for every method
  Secret md5;                     // as a server stores it: does where the server asks for md5
  std::optional<ScramKeys> keys;  // do for SCRAM where the server holds their verifier
  bool empty() const { return password.empty() && md5.empty() && !keys; }
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
  // With whatever of it the server's question asks for.
  AuthClient(std::string user, Credentials known, Options options);
  AuthClient(std::string user, Credentials known) : AuthClient(std::move(user), std::move(known), Options{}) {}

  // `payload`: of an Authentication message ('R'). kAuth: a method that we cannot or will not use (a detail "try" says
  // what to do; a detail "needs" that only the password would do), or a server that failed to prove itself; kProtocol.
  // ErrorResponse is the caller's to handle.
  Result<AuthStep> feed(std::string_view payload);

 private:
  Result<AuthStep> sasl(const AuthenticationRequest& request);
  Result<AuthStep> md5(std::string_view salt);

  std::string user_;
  Credentials known_;
  Options options_;
  std::optional<ScramClient> scram_;
  bool server_verified_ = false;
};

}  // namespace pgb::pgwire
