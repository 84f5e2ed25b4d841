#include "pgwire/md5_server.h"

#include "pgwire/digest.h"
#include "pgwire/md5.h"
#include "pgwire/messages.h"

namespace pgb::pgwire {
namespace {

constexpr size_t kSaltSize = 4;

}  // namespace

Md5Server::Md5Server(Secret stored, std::string salt)
    : stored_(std::move(stored)), salt_(salt.empty() ? random_bytes(kSaltSize) : std::move(salt)) {}

Md5Server Md5Server::mock() {
  Md5Server server(Secret("md5" + Secret::random(16).reveal()));
  server.mock_ = true;
  return server;
}

std::string Md5Server::start() const {
  AuthenticationRequest request;
  request.code = AuthCode::kMd5Password;
  request.data = salt_;
  std::string bytes;
  encode(bytes, request);
  return bytes;
}

Result<AuthStep> Md5Server::feed(std::string_view payload) {
  auto message = decode_password(payload);
  if (!message) return std::move(message).error();
  const auto expected = md5_response_from_stored(stored_, salt_);
  if (!expected) return expected.error();
  const bool proved = *expected == message->password;
  if (mock_ || !proved) return Error(Code::kAuth, "the client does not know the password");
  AuthStep step;
  step.done = true;
  encode(step.send, AuthenticationRequest{});
  return step;
}

}  // namespace pgb::pgwire
