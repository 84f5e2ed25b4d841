// The stored form of a SCRAM password.
#include "base/strings.h"
#include "pgwire/digest.h"
#include "pgwire/scram.h"

namespace pgb::pgwire {
namespace {

constexpr size_t kKeySize = 32;
constexpr size_t kSaltSize = 16;

Error bad_verifier() {
  return Error(Code::kConfig,
               "a SCRAM verifier must look like SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>")
      .with("try",
            "copy rolpassword from pg_authid, or set the password anew with password_encryption = 'scram-sha-256'");
}

}  // namespace

Result<ScramVerifier> parse_scram_verifier(std::string_view text) {
  auto parts = split(text, '$');
  if (parts.size() != 3 || parts[0] != "SCRAM-SHA-256") return bad_verifier();
  auto recipe = split(parts[1], ':');
  auto keys = split(parts[2], ':');
  if (recipe.size() != 2 || keys.size() != 2) return bad_verifier();
  auto iterations = parse_u64(recipe[0]);
  auto salt = from_base64(recipe[1]);
  auto stored_key = from_base64(keys[0]);
  auto server_key = from_base64(keys[1]);
  if (!iterations || *iterations == 0 || *iterations > INT32_MAX) return bad_verifier();
  if (!salt || salt->empty() || !stored_key || !server_key) return bad_verifier();
  if (stored_key->size() != kKeySize || server_key->size() != kKeySize) return bad_verifier();
  ScramVerifier verifier;
  verifier.iterations = static_cast<uint32_t>(*iterations);
  verifier.salt = std::move(*salt);
  verifier.stored_key = Secret(std::move(*stored_key));
  verifier.server_key = Secret(std::move(*server_key));
  return verifier;
}

Secret to_text(const ScramVerifier& verifier) {
  return Secret("SCRAM-SHA-256$" + std::to_string(verifier.iterations) + ":" + base64(verifier.salt) + "$" +
                base64(verifier.stored_key.reveal()) + ":" + base64(verifier.server_key.reveal()));
}

Result<ScramVerifier> build_scram_verifier(const Secret& password, std::string salt, uint32_t iterations) {
  if (iterations == 0 || iterations > INT32_MAX) return Error(Code::kConfig, "SCRAM needs 1 to 2147483647 iterations");
  ScramVerifier verifier;
  verifier.iterations = iterations;
  verifier.salt = salt.empty() ? random_bytes(kSaltSize) : std::move(salt);
  Secret salted(pbkdf2_sha256(password.reveal(), verifier.salt, iterations));
  Secret client_key(hmac_sha256(salted.reveal(), "Client Key"));
  verifier.stored_key = Secret(sha256(client_key.reveal()));
  verifier.server_key = Secret(hmac_sha256(salted.reveal(), "Server Key"));
  return verifier;
}

}  // namespace pgb::pgwire
