// What a server still has to answer: one entry for each message that was sent to it, in order. It decides what
// becomes of each answer (passed on, swallowed), and where answers that we give ourselves belong between them.
// Source: PostgreSQL documentation, "Message Flow".
#pragma once

#include <cstdint>

#include "proxy/kept_queue.h"

namespace pgb::proxy {

struct Expectation {
  enum class Kind : uint8_t {
    kQuery,       // ends with ReadyForQuery; also FunctionCall
    kInternal,    // a query of our own: every answer is ours
    kParse,       // ParseComplete to the client
    kParseOurs,   // ParseComplete of a Parse that we put in
    kParseLocal,  // the server knows the statement already: we say ParseComplete
    kBind,
    kDescribe,  // RowDescription or NoData
    kExecute,
    kClose,
    kCloseOurs,
    kCloseLocal,  // we say CloseComplete
    kSync,        // ReadyForQuery
    kCopyEnd,     // CopyDone or CopyFail was sent; has no answer of its own
  };
  Kind kind = Kind::kQuery;
  uint64_t statement = 0;  // id of the prepared statement of kParse…, kClose…
  uint32_t change = 0;     // number of the change to the client's names that it makes, see ServerUser::server_skipped()
};

using Expectations = KeptQueue<Expectation>;

}  // namespace pgb::proxy
