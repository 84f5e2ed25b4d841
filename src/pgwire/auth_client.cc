#include "pgwire/auth_client.h"

#include <algorithm>

#include "pgwire/md5.h"
#include "pgwire/messages.h"

namespace pgb::pgwire {
namespace {

AuthStep sending(std::string bytes) {
  AuthStep step;
  step.send = std::move(bytes);
  return step;
}

Error refused(const std::string& what) {
  return Error(Code::kAuth, what).with("try", "use scram-sha-256 for this user in the server's pg_hba.conf");
}

// The server asks for what cannot be made from what is known.
Error unknown_password(const std::string& user, const Credentials& known, const std::string& asked) {
  std::string what = "the server asks for the password of \"" + user + "\" by " + asked + ", and ";
  what += known.keys          ? "only keys for SCRAM are known"
          : known.md5.empty() ? "none is known"
                              : "only its md5 hash is known";
  return Error(Code::kAuth, what).with("needs", "the password in clear");
}

Error out_of_turn() { return Error(Code::kProtocol, "the server sent a SASL message out of turn"); }

}  // namespace

AuthClient::AuthClient(std::string user, Secret password, Options options)
    : user_(std::move(user)), options_(std::move(options)) {
  known_.password = std::move(password);
}

AuthClient::AuthClient(std::string user, ScramKeys keys, Options options)
    : user_(std::move(user)), options_(std::move(options)) {
  known_.keys = std::move(keys);
}

AuthClient::AuthClient(std::string user, Credentials known, Options options)
    : user_(std::move(user)), known_(std::move(known)), options_(std::move(options)) {}

Result<AuthStep> AuthClient::feed(std::string_view payload) {
  auto request = decode_authentication(payload);
  if (!request) return std::move(request).error();
  switch (request->code) {
    case AuthCode::kOk: {
      // A server that begins SCRAM must finish it, or an impostor could skip its own proof.
      if (scram_ && !server_verified_)
        return Error(Code::kAuth, "the server let us in without proving that it knows the password");
      AuthStep step;
      step.done = true;
      return step;
    }
    case AuthCode::kMd5Password: return md5(request->data);
    case AuthCode::kCleartextPassword: {
      if (!options_.allow_cleartext)
        return refused("the server asks for the password in cleartext, which is not sent here");
      std::string bytes;
      encode(bytes, PasswordMessage{known_.password});
      return sending(std::move(bytes));
    }
    case AuthCode::kSasl:
    case AuthCode::kSaslContinue:
    case AuthCode::kSaslFinal: return sasl(*request);
    default:
      return refused("the server asks for authentication method " +
                     std::to_string(static_cast<uint32_t>(request->code)) + ", which is not supported");
  }
}

Result<AuthStep> AuthClient::md5(std::string_view salt) {
  if (scram_) return out_of_turn();
  if (known_.password.empty() && known_.md5.empty()) return unknown_password(user_, known_, "md5");
  auto digest =
      known_.password.empty() ? md5_response_from_stored(known_.md5, salt) : md5_response(known_.password, user_, salt);
  if (!digest) return std::move(digest).error();
  std::string bytes;
  encode(bytes, PasswordMessage{std::move(*digest)});
  return sending(std::move(bytes));
}

Result<AuthStep> AuthClient::sasl(const AuthenticationRequest& request) {
  std::string bytes;
  if (request.code == AuthCode::kSasl) {
    const auto& offered = request.mechanisms;
    if (scram_) return out_of_turn();
    const auto offers = [&](const char* name) {
      return std::find(offered.begin(), offered.end(), name) != offered.end();
    };
    const bool bound = !options_.end_point.empty() && offers(kScramSha256Plus);
    if (!bound && !offers(kScramSha256)) {
      return refused("the server offers no SASL mechanism that we know (SCRAM-SHA-256)");
    }
    if (known_.password.empty() && !known_.keys) return unknown_password(user_, known_, kScramSha256);
    scram_ = known_.password.empty() ? ScramClient(*known_.keys) : ScramClient(known_.password);
    if (bound) {
      scram_->bind_to(options_.end_point);
    } else if (!options_.end_point.empty()) {
      scram_->binding_not_offered();
    }
    encode(bytes, SaslInitialResponse{bound ? kScramSha256Plus : kScramSha256, scram_->first()});
    return sending(std::move(bytes));
  }
  if (!scram_ || server_verified_) return out_of_turn();
  if (request.code == AuthCode::kSaslContinue) {
    auto final = scram_->final(request.data);
    if (!final) return std::move(final).error();
    encode(bytes, SaslResponse{std::move(*final)});
    return sending(std::move(bytes));
  }
  PGB_TRY(scram_->verify(request.data));
  server_verified_ = true;
  return AuthStep{};
}

}  // namespace pgb::pgwire
