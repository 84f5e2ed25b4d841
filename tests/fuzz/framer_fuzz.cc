// Any stream in any fragmentation: the framer hands out every byte once and in order, and cuts the
// same messages however the stream was split. Every payload goes through every decoder.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "pgwire/auth_client.h"
#include "pgwire/error_response.h"
#include "pgwire/framer.h"
#include "pgwire/messages.h"
#include "pgwire/txn_tracker.h"

using namespace pgb::pgwire;

namespace {

void require(bool holds) {
  if (!holds) abort();
}

template <class Decoded>
void again(const Decoded& decoded) {
  std::string bytes;
  if (decoded.ok()) encode(bytes, *decoded);
}

void decode_all(char tag, std::string_view payload) {
  again(decode_authentication(payload));
  again(decode_backend_key_data(payload));
  again(decode_parameter_status(payload));
  again(decode_ready_for_query(payload));
  again(decode_row_description(payload));
  again(decode_data_row(payload));
  again(decode_command_complete(payload));
  again(decode_notification(payload));
  again(decode_negotiate_protocol_version(payload));
  again(decode_copy_response(tag, payload));
  again(decode_password(payload));
  again(decode_sasl_initial_response(payload));
  again(decode_query(payload));
  again(decode_parse(payload));
  again(decode_bind(payload));
  again(decode_describe(payload));
  again(decode_execute(payload));
  again(decode_close(payload));
  again(decode_copy_fail(payload));
  again(decode_error(payload));
}

std::string run(std::string_view bytes, size_t piece, bool stream) {
  Framer framer(1 << 16);
  TxnTracker tracker;
  std::string relayed;
  for (size_t at = 0; at < bytes.size(); at += piece) {
    framer.feed(bytes.substr(at, piece));
    for (;;) {
      Step step = framer.next();
      if (step.kind == Step::Kind::kBad) return relayed;
      if (step.kind == Step::Kind::kHeader && stream) {
        framer.stream();
        continue;
      }
      if (step.kind != Step::Kind::kMessage && step.kind != Step::Kind::kChunk) break;
      require(!step.raw.empty());
      relayed += step.raw;
      if (step.kind != Step::Kind::kMessage) continue;
      require(step.total == step.raw.size() && step.payload.size() + kHeaderSize == step.total);
      tracker.on_frontend(step.tag);
      tracker.on_backend(step.tag, step.payload);
      decode_all(step.tag, step.payload);
    }
  }
  require(bytes.substr(0, relayed.size()) == relayed);
  require(relayed.size() + framer.buffered() == bytes.size());
  return relayed;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  size_t piece = 1 + data[0] % 16;
  std::string whole = run(bytes, bytes.size(), false);
  require(run(bytes, piece, false) == whole);
  std::string streamed = run(bytes, piece, true);
  require(streamed.size() >= whole.size());
  return 0;
}
