// Has a client log in with md5. Whoever overhears it can try passwords at leisure: only for those that ask for it.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "base/secret.h"
#include "pgwire/auth_client.h"

namespace pgb::pgwire {

class Md5Server {
 public:
  // `stored`: "md5" and 32 hex digits. `salt`: 4 bytes; random when empty.
  explicit Md5Server(Secret stored, std::string salt = {});
  // For a user that does not exist: the same talk, always ending in kAuth.
  static Md5Server mock();

  // The framed AuthenticationMD5Password that opens the talk.
  std::string start() const;

  // `payload`: of a password message ('p'). Sends AuthenticationOk and is done. kAuth: answer with ErrorResponse 28P01;
  // kProtocol: with 08P01; kInternal when libcrypto has no MD5.
  Result<AuthStep> feed(std::string_view payload);

 private:
  Secret stored_;
  std::string salt_;
  bool mock_ = false;
};

}  // namespace pgb::pgwire
