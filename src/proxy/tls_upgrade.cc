#include "proxy/tls_upgrade.h"

#include "pgwire/startup.h"

namespace pgb::proxy {

using Kind = net::IoResult::Kind;

TlsUpgrade::Step TlsUpgrade::refused(std::string why) {
  why_ = std::move(why);
  return Step::kRefused;
}

TlsUpgrade::Step TlsUpgrade::step(Link& link, net::EventLoop& loop, net::Pollable& owner) {
  if (!how_.context) return Step::kDone;
  if (!std::exchange(asked_, true)) {
    std::string bytes;
    pgwire::encode(bytes, pgwire::SslRequest{});
    if (!link.send(bytes) || !link.out.empty()) return Step::kLost;
  }
  if (!answered_) {
    const Step step = answer(link, loop, owner);
    if (step != Step::kDone || !link.stream->encrypted()) return step;
  }
  const net::IoResult done = link.stream->handshake();
  if (done.kind == Kind::kDone) return Step::kDone;
  if (done.kind == Kind::kWait) {
    link.watch(loop, owner, link.stream->read_wants_write() ? EPOLLOUT : EPOLLIN);
    return Step::kWait;
  }
  const std::string why = link.stream->failure();
  return why.empty() ? Step::kLost : refused("the TLS handshake failed: " + why);
}

// One byte, and not one more: what came behind it in the clear must not be taken for encrypted.
TlsUpgrade::Step TlsUpgrade::answer(Link& link, net::EventLoop& loop, net::Pollable& owner) {
  char byte = 0;
  const net::IoResult got = link.stream->read(&byte, 1);
  if (got.kind == Kind::kWait) {
    link.watch(loop, owner, EPOLLIN);
    return Step::kWait;
  }
  if (got.kind != Kind::kDone) return Step::kLost;
  answered_ = true;
  if (byte == 'N') return how_.required ? refused("it offers no TLS, and server_tls asks for it") : Step::kDone;
  if (byte != 'S') return refused("it does not understand the request for TLS");
  link.unwatch();
  link.stream = net::tls_client_stream(link.stream->release(), *how_.context, host_);
  return link.stream ? Step::kDone : refused("TLS cannot be started");
}

}  // namespace pgb::proxy
