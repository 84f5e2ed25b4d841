// Has a client log in with SCRAM-SHA-256 or SCRAM-SHA-256-PLUS: the mirror of AuthClient.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "pgwire/auth_client.h"
#include "pgwire/scram.h"

namespace pgb::pgwire {

class AuthServer {
 public:
  // `end_point`: over TLS, net::Stream::end_point(); channel binding is offered if it is not empty.
  explicit AuthServer(ScramServer scram, std::string end_point = {});

  // The framed AuthenticationSASL that opens the talk.
  std::string start() const;

  // `payload`: of a password message ('p'). The last step sends AuthenticationSASLFinal and
  // AuthenticationOk and is done. kAuth: answer with ErrorResponse 28P01; kProtocol: with 08P01.
  Result<AuthStep> feed(std::string_view payload);

  // After done: for pass-through to servers with the same verifier.
  const ScramKeys& keys() const { return scram_.keys(); }

 private:
  ScramServer scram_;
  bool offers_binding_ = false;
  bool have_first_ = false;
};

}  // namespace pgb::pgwire
