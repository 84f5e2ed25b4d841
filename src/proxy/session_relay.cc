// The long middle of a session: bytes both ways, as fast as the slower side reads.
#include "pgwire/error_response.h"
#include "proxy/session.h"

namespace pgb::proxy {
namespace {

using Kind = net::IoResult::Kind;
constexpr size_t kMaxPending = 65536;
constexpr int kMaxReads = 32;  // in one go, so that one busy client does not starve the others

}  // namespace

void Session::start_relay() {
  disarm();
  transition(State::kRelay);
  auth_client_.reset();
  keys_.reset();
  const std::string from_server(server_framer_.buffered_bytes());
  const std::string from_client(client_framer_.buffered_bytes());
  server_framer_ = pgwire::Framer();
  client_framer_ = pgwire::Framer();
  if (!flush(client_)) return end();
  server_.walk.feed(from_server);
  client_.walk.feed(from_client);
  if (!pass_on(client_, from_server) || !pass_on(server_, from_client)) return end();
  relay_client();
}

// Writes at once what the kernel takes and keeps the rest. False: a client that is gone.
bool Session::pass_on(Link& to, std::string_view bytes) {
  if (to.write_dead) return true;
  if (to.out.empty()) {
    while (!bytes.empty()) {
      const net::IoResult sent = to.stream->write(bytes);
      if (sent.kind == Kind::kWait) break;
      if (sent.kind != Kind::kDone) {
        if (&to == &client_) return false;
        to.write_dead = true;  // its last words may still be there to read
        return true;
      }
      bytes.remove_prefix(sent.count);
    }
  }
  if (!bytes.empty()) to.out.append(bytes);
  return true;
}

void Session::relay_client() {
  // An encrypted stream may hold bytes that the kernel no longer reports: read it dry.
  for (int i = 0; i < kMaxReads || client_.stream->encrypted(); ++i) {
    if (server_.out.size() >= kMaxPending) return;
    const net::IoResult got = client_.stream->read(context_.scratch.data(), context_.scratch.size());
    if (got.kind == Kind::kWait) return;
    if (got.kind != Kind::kDone) return end();
    const std::string_view bytes(context_.scratch.data(), got.count);
    context_.shared.counters.bytes_from_clients += got.count;
    client_.walk.feed(bytes);
    if (!pass_on(server_, bytes)) return end();
  }
}

void Session::relay_server() {
  for (int i = 0; i < kMaxReads; ++i) {
    if (client_.out.size() >= kMaxPending) return;
    const net::IoResult got = server_.stream->read(context_.scratch.data(), context_.scratch.size());
    if (got.kind == Kind::kWait) return;
    if (got.kind != Kind::kDone) return server_gone();
    const std::string_view bytes(context_.scratch.data(), got.count);
    context_.shared.counters.bytes_from_servers += got.count;
    server_.walk.feed(bytes);
    if (!pass_on(client_, bytes)) return end();
  }
}

void Session::server_gone() {
  const bool said_why = server_.walk.last_tag() == pgwire::be::kErrorResponse;
  const bool wanted = client_.walk.last_tag() == pgwire::fe::kTerminate;
  if (said_why || wanted || !server_.walk.at_boundary()) return close_after_flush();
  fail(pgwire::sqlstate::kConnectionFailure, "the server " + node_.name + " closed the connection unexpectedly",
       "Whether a statement that was under way took effect is unknown. Server: " + server_address_.str());
}

}  // namespace pgb::proxy
