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

AuthServer::AuthServer(ScramServer scram, std::string end_point)
    : scram_(std::move(scram)), offers_binding_(!end_point.empty()) {
  scram_.offer_binding(std::move(end_point));
}

std::string AuthServer::start() const {
  AuthenticationRequest request;
  request.code = AuthCode::kSasl;
  if (offers_binding_) request.mechanisms.push_back(kScramSha256Plus);
  request.mechanisms.push_back(kScramSha256);
  std::string bytes;
  encode(bytes, request);
  return bytes;
}

Result<AuthStep> AuthServer::feed(std::string_view payload) {
  AuthStep step;
  if (!have_first_) {
    auto initial = decode_sasl_initial_response(payload);
    if (!initial) return std::move(initial).error();
    const bool plus = offers_binding_ && initial->mechanism == kScramSha256Plus;
    if ((!plus && initial->mechanism != kScramSha256) || !initial->data) {
      return Error(Code::kProtocol, "the client chose a SASL mechanism that was not offered");
    }
    auto answer = scram_.first(*initial->data, plus);
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
