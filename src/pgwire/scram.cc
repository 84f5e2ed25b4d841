// The SCRAM talk itself; the stored form is in scram_verifier.cc.
#include "pgwire/scram.h"

#include <deque>
#include <mutex>

#include "base/strings.h"
#include "pgwire/digest.h"

namespace pgb::pgwire {
namespace {

constexpr size_t kNonceBytes = 18;
constexpr size_t kKeySize = 32;
// A server that asks for more would have us compute for many seconds.
constexpr uint32_t kMaxIterations = 10'000'000;
constexpr std::string_view kBoundHeader = "p=tls-server-end-point,,";

std::string nonce_or_random(std::string nonce) {
  return nonce.empty() ? base64(random_bytes(kNonceBytes)) : std::move(nonce);
}

Error broken(const char* what) {
  return Error(Code::kProtocol, std::string("the peer sent a malformed SCRAM ") + what + " message");
}

Error wrong_password() { return Error(Code::kAuth, "the password is wrong or the user does not exist"); }

// Takes "<name>=<value>" and its comma off the front of `text`; nothing if it is not there.
std::optional<std::string_view> take(std::string_view& text, char name) {
  if (text.size() < 2 || text[0] != name || text[1] != '=') return std::nullopt;
  auto end = text.find(',');
  auto value = text.substr(2, end == std::string_view::npos ? end : end - 2);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  return value;
}

// RFC 5802, section 5.1: printable ASCII without comma.
bool good_nonce(std::string_view nonce) {
  for (char c : nonce) {
    if (c < 0x21 || c > 0x7e || c == ',') return false;
  }
  return !nonce.empty();
}

// "," and "=" cannot stand in a name.
std::string escape_name(std::string_view name) {
  std::string escaped;
  for (char c : name) {
    if (c == ',') {
      escaped += "=2C";
    } else if (c == '=') {
      escaped += "=3D";
    } else {
      escaped.push_back(c);
    }
  }
  return escaped;
}

// The derivation is made to be slow. Who logs in at the same server every few seconds, as those that watch over one do,
// pays for it once: the last few results are kept, each no more of a secret than the password that its owner keeps.
class DerivedKeys {
 public:
  ScramKeys of(const Secret& password, const std::string& salt, uint32_t iterations) {
    {
      const std::lock_guard lock(mutex_);
      for (const Entry& entry : entries_) {
        if (entry.iterations == iterations && entry.salt == salt && entry.password.equals(password.reveal()))
          return entry.keys;
      }
    }
    const Secret salted(pbkdf2_sha256(password.reveal(), salt, iterations));
    ScramKeys keys{Secret(hmac_sha256(salted.reveal(), "Client Key")),
                   Secret(hmac_sha256(salted.reveal(), "Server Key"))};
    const std::lock_guard lock(mutex_);
    if (entries_.size() >= kMost) entries_.pop_front();
    entries_.push_back({password, salt, iterations, keys});
    return keys;
  }

 private:
  static constexpr size_t kMost = 8;
  struct Entry {
    Secret password;
    std::string salt;
    uint32_t iterations;
    ScramKeys keys;
  };
  std::mutex mutex_;
  std::deque<Entry> entries_;
};

}  // namespace

// --- client ---------------------------------------------------------------------------------------

ScramClient::ScramClient(Secret password, std::string nonce, std::string user)
    : password_(std::move(password)),
      nonce_(nonce_or_random(std::move(nonce))),
      first_bare_("n=" + escape_name(user) + ",r=" + nonce_) {}

ScramClient::ScramClient(ScramKeys keys, std::string nonce, std::string user)
    : keys_(std::move(keys)),
      have_keys_(true),
      nonce_(nonce_or_random(std::move(nonce))),
      first_bare_("n=" + escape_name(user) + ",r=" + nonce_) {}

void ScramClient::bind_to(std::string end_point) {
  gs2_header_ = kBoundHeader;
  end_point_ = std::move(end_point);
}

void ScramClient::binding_not_offered() { gs2_header_ = "y,,"; }

std::string ScramClient::first() { return gs2_header_ + first_bare_; }

Status ScramClient::derive(const std::string& salt, uint32_t iterations) {
  if (have_keys_) {
    bool usable = keys_.client_key.reveal().size() == kKeySize && keys_.server_key.reveal().size() == kKeySize;
    return usable ? Status() : Status(Error(Code::kInternal, "SCRAM keys must have 32 bytes"));
  }
  if (iterations > kMaxIterations) {
    return Error(Code::kProtocol, "the server asks for " + std::to_string(iterations) +
                                      " SCRAM iterations; the limit is " + std::to_string(kMaxIterations));
  }
  static DerivedKeys derived;
  keys_ = derived.of(password_, salt, iterations);
  return Status();
}

Result<std::string> ScramClient::final(std::string_view server_first) {
  auto text = server_first;
  auto nonce = take(text, 'r');
  auto salt64 = take(text, 's');
  auto count = take(text, 'i');
  if (!nonce || !salt64 || !count) return broken("server-first");
  auto salt = from_base64(*salt64);
  auto iterations = parse_u64(*count);
  if (!salt || !iterations || *iterations == 0 || *iterations > UINT32_MAX) return broken("server-first");
  bool ours = nonce->size() > nonce_.size() && nonce->substr(0, nonce_.size()) == nonce_;
  if (!ours || !good_nonce(*nonce)) return broken("server-first");
  PGB_TRY(derive(*salt, static_cast<uint32_t>(*iterations)));

  auto without_proof = "c=" + base64(gs2_header_ + end_point_) + ",r=" + std::string(*nonce);
  auto auth_message = first_bare_ + "," + std::string(server_first) + "," + without_proof;
  auto signature = hmac_sha256(sha256(keys_.client_key.reveal()), auth_message);
  server_signature_ = Secret(hmac_sha256(keys_.server_key.reveal(), auth_message));
  return without_proof + ",p=" + base64(exclusive_or(keys_.client_key.reveal(), signature));
}

Status ScramClient::verify(std::string_view server_final) {
  auto text = server_final;
  if (auto reason = take(text, 'e')) return Error(Code::kAuth, "the server refused the login: " + std::string(*reason));
  auto value = take(text, 'v');
  auto signature = value ? from_base64(*value) : std::nullopt;
  if (!signature) return broken("server-final");
  if (server_signature_.empty() || !server_signature_.equals(*signature)) {
    return Error(Code::kAuth, "the server could not prove that it knows the password; it may be an impostor");
  }
  return Status();
}

// --- server ---------------------------------------------------------------------------------------

ScramServer::ScramServer(ScramVerifier verifier, std::string nonce)
    : verifier_(std::move(verifier)), nonce_(nonce_or_random(std::move(nonce))) {}

ScramServer ScramServer::mock(std::string_view user, const Secret& secret, std::string nonce) {
  ScramVerifier verifier;
  verifier.salt = hmac_sha256(secret.reveal(), "salt of " + std::string(user)).substr(0, 16);
  verifier.stored_key = Secret(random_bytes(kKeySize));
  verifier.server_key = Secret(random_bytes(kKeySize));
  ScramServer server(std::move(verifier), std::move(nonce));
  server.mock_ = true;
  return server;
}

// The part of client-first-message that says how the talk is bound to the transport.
Result<std::string> ScramServer::read_header(std::string_view client_first, bool plus) const {
  const auto flag = client_first.substr(0, 2);
  if (flag == "p=") {
    if (end_point_.empty()) {
      return Error(Code::kProtocol, "the client asks for SCRAM channel binding, which was not offered")
          .with("try", "connect with channel_binding=disable");
    }
    if (!plus) return Error(Code::kProtocol, "the client binds the channel, but did not choose SCRAM-SHA-256-PLUS");
    if (client_first.substr(0, kBoundHeader.size()) == kBoundHeader) return std::string(kBoundHeader);
    return Error(Code::kProtocol, "the client asks for a SCRAM channel binding other than tls-server-end-point");
  }
  if (plus) return Error(Code::kProtocol, "the client chose SCRAM-SHA-256-PLUS, but does not bind the channel");
  if (flag == "y," && !end_point_.empty()) {
    return Error(Code::kProtocol,
                 "SCRAM channel binding was offered, but the client was told that it was not: "
                 "somebody may be listening in between");
  }
  const auto header = client_first.substr(0, 3);
  if (header != "n,," && header != "y,,") return broken("client-first");
  return std::string(header);
}

Result<std::string> ScramServer::first(std::string_view client_first, bool plus) {
  if (!server_first_.empty()) return broken("client-first");
  auto header = read_header(client_first, plus);
  if (!header) return std::move(header).error();
  gs2_header_ = std::move(*header);
  bound_ = plus;
  auto text = client_first.substr(gs2_header_.size());
  first_bare_ = text;
  auto user = take(text, 'n');  // empty with libpq, and ignored: the startup packet names the user
  auto nonce = take(text, 'r');
  if (!user || !nonce || !good_nonce(*nonce)) return broken("client-first");
  nonce_ = std::string(*nonce) + nonce_;
  server_first_ = "r=" + nonce_ + ",s=" + base64(verifier_.salt) + ",i=" + std::to_string(verifier_.iterations);
  return server_first_;
}

Result<std::string> ScramServer::final(std::string_view client_final) {
  if (server_first_.empty() || done_) return broken("client-final");
  auto text = client_final;
  auto binding = take(text, 'c');
  auto nonce = take(text, 'r');
  auto proof_at = client_final.rfind(",p=");
  if (!binding || !nonce || proof_at == std::string_view::npos) return broken("client-final");
  if (*nonce != nonce_) return broken("client-final");
  if (*binding != base64(bound_ ? gs2_header_ + end_point_ : gs2_header_)) {
    if (!bound_) return broken("client-final");
    return Error(Code::kProtocol, "the SCRAM channel binding does not match: the client sees another certificate");
  }
  auto proof = from_base64(client_final.substr(proof_at + 3));
  if (!proof || proof->size() != kKeySize) return broken("client-final");

  auto auth_message = first_bare_ + "," + server_first_ + "," + std::string(client_final.substr(0, proof_at));
  Secret client_key(exclusive_or(*proof, hmac_sha256(verifier_.stored_key.reveal(), auth_message)));
  bool proved = verifier_.stored_key.equals(sha256(client_key.reveal()));
  if (mock_ || !proved) return wrong_password();
  keys_.client_key = std::move(client_key);
  keys_.server_key = verifier_.server_key;
  done_ = true;
  return "v=" + base64(hmac_sha256(verifier_.server_key.reveal(), auth_message));
}

}  // namespace pgb::pgwire
