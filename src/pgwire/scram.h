// SCRAM-SHA-256 and SCRAM-SHA-256-PLUS, both ends, without I/O. Sources: RFC 5802, RFC 7677; RFC 5929 for the
// channel binding "tls-server-end-point"; PostgreSQL documentation, "SASL Authentication". Passwords are used as they
// are: for ASCII that is what SASLprep gives; non-ASCII passwords are not normalised (they match as long as both ends
// send the same bytes, and PostgreSQL differs only for those that NFKC changes).
//
// Channel binding: the talk is tied to the server's certificate by a hash of it, which the transport knows at both ends
// (net::Stream::end_point). Someone in the middle who ends TLS with a certificate of his own is found out.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/secret.h"

namespace pgb::pgwire {

inline constexpr uint32_t kScramIterations = 4096;

// What a server stores: pg_authid.rolpassword. All fields are raw bytes; the keys have 32.
struct ScramVerifier {
  uint32_t iterations = kScramIterations;
  std::string salt;
  Secret stored_key;
  Secret server_key;
};

// "SCRAM-SHA-256$4096:c2FsdA==$StoredKey:ServerKey" (base64). kConfig for anything else.
Result<ScramVerifier> parse_scram_verifier(std::string_view text);
Secret to_text(const ScramVerifier& verifier);

// The verifier of a password; a random 16-byte salt when `salt` is empty.
Result<ScramVerifier> build_scram_verifier(const Secret& password, std::string salt = {},
                                           uint32_t iterations = kScramIterations);

// What logs in at a server that has the same verifier without the password (pass-through).
struct ScramKeys {
  Secret client_key;
  Secret server_key;
};

// The client's end: first(), then final(), then verify().
class ScramClient {
 public:
  // A random nonce when `nonce` is empty. `user` is only for tests and servers other than PostgreSQL,
  // which takes the name from the startup packet.
  explicit ScramClient(Secret password, std::string nonce = {}, std::string user = {});
  // Pass-through: no password and no key derivation; the server must hold the verifier of these keys.
  explicit ScramClient(ScramKeys keys, std::string nonce = {}, std::string user = {});

  // Before first(). The talk is bound to this hash of the server's certificate: mechanism SCRAM-SHA-256-PLUS.
  void bind_to(std::string end_point);
  // Before first(). We could have bound it, but the server did not offer that: if it did, and someone took the offer
  // away, the server finds out.
  void binding_not_offered();

  std::string first();                                       // client-first-message
  Result<std::string> final(std::string_view server_first);  // client-final-message; kProtocol
  Status verify(std::string_view server_final);              // kAuth: the server does not know the password

 private:
  Status derive(const std::string& salt, uint32_t iterations);

  Secret password_;
  ScramKeys keys_;
  bool have_keys_ = false;
  std::string gs2_header_ = "n,,";
  std::string end_point_;
  std::string nonce_;
  std::string first_bare_;
  Secret server_signature_;
};

// The server's end: first(), then final().
class ScramServer {
 public:
  explicit ScramServer(ScramVerifier verifier, std::string nonce = {});
  // For a user that does not exist: the same talk, always ending in kAuth. `secret` is any value that
  // stays the same over restarts of attempts, so that a user's fake salt stays the same.
  static ScramServer mock(std::string_view user, const Secret& secret, std::string nonce = {});

  // Before first(): SCRAM-SHA-256-PLUS was offered, too, with this hash of our certificate.
  void offer_binding(std::string end_point) { end_point_ = std::move(end_point); }

  // server-first-message; kProtocol, also for a client that says that we did not offer the binding that we did offer.
  // `plus`: the client chose SCRAM-SHA-256-PLUS.
  Result<std::string> first(std::string_view client_first, bool plus = false);
  Result<std::string> final(std::string_view client_final);  // server-final-message; kAuth, kProtocol

  // After final() succeeded: the keys for pass-through.
  bool done() const { return done_; }
  const ScramKeys& keys() const { return keys_; }

 private:
  ScramVerifier verifier_;
  ScramKeys keys_;
  bool mock_ = false;
  bool done_ = false;
  std::string nonce_;  // ours, then client's + ours
  Result<std::string> read_header(std::string_view client_first, bool plus) const;

  std::string end_point_;  // that was offered; empty: none
  std::string gs2_header_;
  bool bound_ = false;
  std::string first_bare_;
  std::string server_first_;
};

}  // namespace pgb::pgwire
