// Any peer: neither end of SCRAM crashes, and nobody gets in without the password.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "pgwire/auth_client.h"
#include "pgwire/auth_server.h"
#include "pgwire/scram.h"

using namespace pgb;
using namespace pgb::pgwire;

namespace {

const ScramVerifier& verifier() {
  static const ScramVerifier made = *build_scram_verifier(Secret("pencil"), "0123456789abcdef", 1);
  return made;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view text(reinterpret_cast<const char*>(data), size);
  auto split = text.find('\n');
  auto one = text.substr(0, split);
  auto two = split == std::string_view::npos ? std::string_view() : text.substr(split + 1);

  ScramServer server(verifier(), "SERVER");
  if (server.first(one).ok() && server.final(two).ok()) abort();

  ScramKeys keys{Secret(std::string(32, 'c')), Secret(std::string(32, 's'))};  // no key derivation: fast
  ScramClient client(keys, "CLIENT");
  (void)client.first();
  if (client.final(one).ok() && client.verify(two).ok()) abort();

  AuthClient login("user", keys);
  (void)login.feed(one).ok();
  (void)login.feed(two).ok();
  AuthServer gate{ScramServer(verifier(), "SERVER")};
  auto step = gate.feed(one);
  if (step.ok()) step = gate.feed(two);
  if (step.ok() && step->done) abort();

  if (auto parsed = parse_scram_verifier(text)) {
    auto again = parse_scram_verifier(to_text(*parsed).reveal());
    if (!again.ok() || !(again->stored_key == parsed->stored_key)) abort();
  }
  return 0;
}
