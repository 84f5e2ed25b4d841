// Any bytes at the PCP port, in pieces, before and after a login: whole packets come back, and nothing is done for who
// has not logged in. Also any text of a list of users. The last byte says how long the pieces are and whether somebody
// logs in.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "control/fake_proxy.h"
#include "control/pcp_talk.h"
#include "pgwire/digest.h"

using namespace pgb;

namespace {

void check(const std::string& bytes) {
  size_t at = 0;
  while (at < bytes.size()) {
    if (bytes.size() - at < 5) abort();
    size_t length = 0;
    for (size_t i = 1; i < 5; ++i) length = length << 8 | static_cast<unsigned char>(bytes[at + i]);
    if (length < 4 || at + 1 + length > bytes.size()) abort();
    at += 1 + length;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size - 1);
  const auto users = control::parse_pcp_users(bytes);
  if (!users && users.error().details.empty()) abort();

  control::FakeProxy proxy;
  bool shut_down = false;
  const control::Actions actions{proxy, [] { return Status(); }, [&](bool) { shut_down = true; }};
  const std::string hash(32, 'a');
  control::PcpTalk talk({actions,
                         [&] {
                           return control::PcpUsers{{"boss", Secret(hash)}};
                         },
                         [](std::string_view) {
                           return control::Rows{{"a", std::nullopt}};
                         },
                         false});
  const bool logs_in = (data[size - 1] & 1) != 0;
  if (logs_in) {
    const std::string salt = talk.answer({'M', ""}).substr(5);
    talk.answer({'R', std::string("boss") + '\0' + *pgwire::md5_hex(*pgwire::md5_hex(hash + "boss") + salt) + '\0'});
    if (talk.ended()) abort();
  }
  control::PcpFramer framer;
  const size_t piece = size_t{data[size - 1]} + 1;
  for (size_t at = 0; at < bytes.size() && !talk.ended() && !framer.broken(); at += piece) {
    framer.feed(bytes.substr(at, piece));
    while (const auto packet = framer.next()) {
      check(talk.answer(*packet));
      if (talk.ended()) break;
    }
  }
  if (!logs_in && (shut_down || !proxy.said.empty())) abort();
  return 0;
}
