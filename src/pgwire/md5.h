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

// The same from the stored form "md5" + 32 hex digits (pg_authid.rolpassword).
Result<Secret> md5_response_from_stored(const Secret& stored, std::string_view salt);

}  // namespace pgb::pgwire
