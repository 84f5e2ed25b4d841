// Any bytes of a client at the console, in pieces: they are answered with whole messages or end the talk; what is
// answered can be described before. The last byte says how long the pieces are.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "control/admin_console.h"
#include "control/fake_proxy.h"
#include "proxy/console_talk.h"

using namespace pgb;

namespace {

control::AdminConsole& console() {
  static control::FakeProxy proxy;
  static const control::ConfigPtr config = [] {
    auto made = std::make_shared<control::BalancerConfig>();
    made->admin_users = {"boss"};
    return made;
  }();
  static control::AdminConsole made(control::Actions{proxy, [] { return Status(); }, [](bool) {}},
                                    [] { return config; });
  return made;
}

void check(const std::string& bytes) {
  pgwire::Framer framer;
  framer.feed(bytes);
  pgwire::Step step = framer.next();
  while (step.kind == pgwire::Step::Kind::kMessage) step = framer.next();
  if (step.kind == pgwire::Step::Kind::kBad || framer.buffered() != 0) abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const size_t piece = size_t{data[size - 1]} + 1;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size - 1);
  const proxy::ConsoleAsker asker{"boss", "fuzz", true};
  const auto describe = [&](std::string_view text) { return console().describe(asker, text); };
  proxy::ConsoleTalk talk(describe);
  for (size_t at = 0; at < bytes.size(); at += piece) {
    talk.feed(bytes.substr(at, piece));
    for (;;) {
      const auto next = talk.next();
      check(talk.take_output());
      if (next == proxy::ConsoleTalk::Next::kMore) break;
      if (next != proxy::ConsoleTalk::Next::kAsk) return 0;
      proxy::ConsoleAnswer answer = describe(talk.text());
      if (!answer.error && !answer.columns.empty() && answer.rows.empty()) answer.rows.resize(2);
      for (auto& row : answer.rows) row.resize(answer.columns.size(), "1");
      talk.answer(std::move(answer));
    }
  }
  describe(bytes);
  return 0;
}
