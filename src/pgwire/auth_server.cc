#include "pgwire/auth_server.h"

#include "pgwire/messages.h"

namespace pgb::pgwire {
namespace {

void encode_auth(std::string& out, AuthCode code, std::string data) {
  AuthenticationRequest request;
  request.code = code;
  request.data = std::move(data);
  encode(out, request);
}

}  // namespace

std::string AuthServer::start() const {
  AuthenticationRequest request;
  request.code = AuthCode::kSasl;
  request.mechanisms = {kScramSha256};
  std::string bytes;
  encode(bytes, request);
  return bytes;
}

Result<AuthStep> AuthServer::feed(std::string_view payload) {
  AuthStep step;
  if (!have_first_) {
    auto initial = decode_sasl_initial_response(payload);
    if (!initial) return std::move(initial).error();
    if (initial->mechanism != kScramSha256 || !initial->data) {
      return Error(Code::kProtocol, "the client chose a SASL mechanism that was not offered");
    }
    auto answer = scram_.first(*initial->data);
    if (!answer) return std::move(answer).error();
    have_first_ = true;
    encode_auth(step.send, AuthCode::kSaslContinue, std::move(*answer));
    return step;
  }
  auto answer = scram_.final(payload);
  if (!answer) return std::move(answer).error();
  encode_auth(step.send, AuthCode::kSaslFinal, std::move(*answer));
  encode_auth(step.send, AuthCode::kOk, {});
  step.done = true;
  return step;
}

}  // namespace pgb::pgwire
