// What is known of a user's password: enough to check it, and perhaps to log in with it at the servers.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/secret.h"
#include "pgwire/auth_client.h"
#include "pgwire/scram.h"

namespace pgb::proxy {

struct UserSecret {
  std::optional<pgwire::ScramVerifier> verifier;  // checks SCRAM
  Secret md5;                                     // "md5…", checks md5
  Secret password;                                // in clear; then `verifier` is made from it and no server has it

  bool empty() const { return !verifier && md5.empty(); }
  // To log in at the servers as this user, without what the client's proof gives.
  pgwire::Credentials credentials() const { return {password, password.empty() ? md5 : Secret(), std::nullopt}; }
};

// Of a text as pg_authid.rolpassword or a configuration has it: a SCRAM-SHA-256 verifier, an md5 hash, or else a
// password. `salt_secret`: a user's password gets the same salt each time, as one stored by a server has.
// kConfig for a broken verifier; no message shows the text.
Result<UserSecret> read_user_secret(const std::string& user, std::string_view text, const Secret& salt_secret);

// Whether it is that user's password. Takes as long as SCRAM's derivation, some milliseconds.
bool is_password(const UserSecret& secret, const std::string& user, const Secret& password);

}  // namespace pgb::proxy
