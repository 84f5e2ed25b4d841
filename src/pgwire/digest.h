// The few functions of libcrypto that passwords need, and base64. Raw bytes in, raw bytes out.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace pgb::pgwire {

std::string sha256(std::string_view data);
std::string hmac_sha256(std::string_view key, std::string_view data);
// PBKDF2 with HMAC-SHA-256, 32 bytes: Hi() of RFC 5802.
std::string pbkdf2_sha256(std::string_view password, std::string_view salt, uint32_t iterations);
// Hex; nothing when libcrypto has no MD5.
std::optional<std::string> md5_hex(std::string_view data);
// Of equally long texts.
std::string exclusive_or(std::string_view a, std::string_view b);
// Cryptographically random.
std::string random_bytes(size_t count);

std::string base64(std::string_view data);
// Strict: padded, no blanks, no rest bits; nothing otherwise.
std::optional<std::string> from_base64(std::string_view text);

}  // namespace pgb::pgwire
