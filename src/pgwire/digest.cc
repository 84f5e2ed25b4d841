#include "pgwire/digest.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#include <cstdlib>

namespace pgb::pgwire {
namespace {

constexpr size_t kSha256Size = 32;
constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

const unsigned char* in(std::string_view text) { return reinterpret_cast<const unsigned char*>(text.data()); }
unsigned char* out(std::string& text) { return reinterpret_cast<unsigned char*>(text.data()); }

// SHA-256 and random bytes do not fail in a working libcrypto; going on with zeros would be unsafe.
void require(bool ok) {
  if (!ok) std::abort();
}

}  // namespace

std::string sha256(std::string_view data) {
  std::string digest(kSha256Size, '\0');
  require(EVP_Digest(data.data(), data.size(), out(digest), nullptr, EVP_sha256(), nullptr) == 1);
  return digest;
}

std::string hmac_sha256(std::string_view key, std::string_view data) {
  std::string digest(kSha256Size, '\0');
  unsigned size = kSha256Size;
  const char* bytes = key.empty() ? "" : key.data();  // a null key means "the previous one" to HMAC()
  require(HMAC(EVP_sha256(), bytes, static_cast<int>(key.size()), in(data), data.size(), out(digest), &size) !=
          nullptr);
  return digest;
}

std::string pbkdf2_sha256(std::string_view password, std::string_view salt, uint32_t iterations) {
  std::string key(kSha256Size, '\0');
  const char* bytes = password.empty() ? "" : password.data();
  require(PKCS5_PBKDF2_HMAC(bytes, static_cast<int>(password.size()), in(salt), static_cast<int>(salt.size()),
                            static_cast<int>(iterations), EVP_sha256(), kSha256Size, out(key)) == 1);
  return key;
}

std::optional<std::string> md5_hex(std::string_view data) {
  constexpr std::string_view kHex = "0123456789abcdef";
  std::string digest(16, '\0');
  if (EVP_Digest(data.data(), data.size(), out(digest), nullptr, EVP_md5(), nullptr) != 1) return std::nullopt;
  std::string hex;
  for (char c : digest) {
    auto byte = static_cast<unsigned char>(c);
    hex.push_back(kHex[byte >> 4]);
    hex.push_back(kHex[byte & 15]);
  }
  return hex;
}

std::string exclusive_or(std::string_view a, std::string_view b) {
  require(a.size() == b.size());
  std::string result(a);
  for (size_t i = 0; i < b.size(); ++i) result[i] = static_cast<char>(result[i] ^ b[i]);
  return result;
}

std::string random_bytes(size_t count) {
  std::string bytes(count, '\0');
  require(RAND_bytes(out(bytes), static_cast<int>(count)) == 1);
  return bytes;
}

std::string base64(std::string_view data) {
  std::string text;
  for (size_t i = 0; i < data.size(); i += 3) {
    uint32_t bits = 0;
    size_t have = data.size() - i < 3 ? data.size() - i : 3;
    for (size_t j = 0; j < 3; ++j) bits = bits << 8 | (j < have ? static_cast<unsigned char>(data[i + j]) : 0u);
    for (size_t j = 0; j < 4; ++j) text.push_back(j <= have ? kAlphabet[bits >> (18 - 6 * j) & 63] : '=');
  }
  return text;
}

std::optional<std::string> from_base64(std::string_view text) {
  if (text.size() % 4 != 0) return std::nullopt;
  size_t padding = 0;
  while (padding < 2 && !text.empty() && text.back() == '=') {
    text.remove_suffix(1);
    ++padding;
  }
  std::string data;
  uint32_t bits = 0;
  int count = 0;
  for (char c : text) {
    auto value = kAlphabet.find(c);
    if (value == std::string_view::npos) return std::nullopt;
    bits = bits << 6 | static_cast<uint32_t>(value);
    count += 6;
    if (count < 8) continue;
    count -= 8;
    data.push_back(static_cast<char>(bits >> count & 255));
  }
  if ((bits & ((1u << count) - 1)) != 0) return std::nullopt;
  return data;
}

}  // namespace pgb::pgwire
