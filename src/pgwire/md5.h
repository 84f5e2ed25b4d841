// The legacy md5 password digest. Source: PostgreSQL documentation, "Message Flow", AuthenticationMD5Password.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "base/secret.h"

namespace pgb::pgwire {

// "md5" + hex(md5(hex(md5(password + user)) + salt)): what the client answers to a 4-byte salt.
// kInternal when libcrypto has no MD5 (FIPS mode).
Result<Secret> md5_response(const Secret& password, std::string_view user, std::string_view salt);

// What a server stores of a password (pg_authid.rolpassword): "md5" + hex(md5(password + user)). kInternal as above.
Result<Secret> md5_stored(const Secret& password, std::string_view user);
// Whether the text has this form. Then it is no password.
bool is_md5_stored(std::string_view text);

// The answer from the stored form; kConfig if it is none.
Result<Secret> md5_response_from_stored(const Secret& stored, std::string_view salt);

}  // namespace pgb::pgwire
