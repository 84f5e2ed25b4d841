#include "proxy/session.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/log.h"
#include "pgwire/error_response.h"

namespace pgb::proxy {
namespace {
using std::chrono::milliseconds;
constexpr size_t kMaxPending = 65536;  // bytes kept for a slow reader before we stop reading for it
constexpr size_t kMaxEarly = 65536;    // what a client may send before its login is through
constexpr milliseconds kLastWordsTimeout{5000};
constexpr milliseconds kLingerTimeout{1000};
}  // namespace

const char* Session::name(State state) {
  static constexpr const char* kNames[] = {"startup",      "lookup", "authenticating", "finding-primary", "connecting",
                                           "server-login", "relay",  "cancelling",     "closing",         "closed"};
  return kNames[static_cast<size_t>(state)];
}

bool Session::may_follow(State from, State to) {
  if (from == State::kClosed) return false;
  if (to == State::kClosed) return true;
  if (to == State::kClosing) return from != State::kClosing;
  switch (from) {
    case State::kStartup: return to == State::kLookup || to == State::kCancelling;
    case State::kLookup: return to == State::kAuthenticating;
    case State::kAuthenticating: return to == State::kFindingPrimary;
    case State::kFindingPrimary: return to == State::kConnecting;
    case State::kConnecting: return to == State::kServerLogin || to == State::kFindingPrimary;
    case State::kServerLogin: return to == State::kRelay || to == State::kFindingPrimary;
    default: return false;
  }
}

Session::Session(uint64_t id, os::UniqueFd client, ReactorContext& context)
    : id_(id),
      context_(context),
      peer_(net::Address::peer_of(client.get()).str()),
      client_framer_(pgwire::kMaxAuthBody),
      server_framer_(pgwire::kMaxAuthBody) {
  client_.stream = net::plain_stream(std::move(client));
}

Session::~Session() {
  if (state_ != State::kClosed) end();
}

void Session::start() {
  arm(context_.shared.settings.login_timeout, &Session::login_timed_out);
  update_interest();
}

void Session::transition(State to) {
  if (!may_follow(state_, to)) {
    log::error(std::string("session of ") + peer_ + " cannot go from " + name(state_) + " to " + name(to));
    if (state_ != State::kClosed) end();
    return;
  }
  state_ = to;
}

void Session::arm(milliseconds wait, void (Session::*action)()) {
  disarm();
  timer_ = context_.loop.after(wait, [this, action] {
    timer_ = 0;
    (this->*action)();
  });
}

void Session::disarm() {
  context_.loop.cancel(timer_);
  timer_ = 0;
}

uint32_t Session::client_events() const {
  if (!client_.stream) return 0;
  bool read = true;
  if (state_ == State::kRelay) {
    read = server_.out.size() < kMaxPending;
  } else if (state_ != State::kClosing) {
    read = client_framer_.buffered() < kMaxEarly;
  }
  const bool write = !client_.out.empty() || client_.stream->read_wants_write();
  return (read ? EPOLLIN : 0u) | (write ? EPOLLOUT : 0u);
}

uint32_t Session::server_events() const {
  if (!server_.stream) return 0;
  if (state_ == State::kConnecting || (state_ == State::kCancelling && !cancel_packet_.empty())) return EPOLLOUT;
  const bool read = client_.out.size() < kMaxPending;
  return (read ? EPOLLIN : 0u) | (server_.out.empty() ? 0u : EPOLLOUT);
}

void Session::set_interest(Link& link, uint32_t events, Handler handler) {
  if (!link.stream) return;
  if (events == 0 && link.hung_up) {
    context_.loop.unwatch(link.watch);
    link.watch = 0;
  } else if (link.watch != 0) {
    context_.loop.change(link.watch, events);
  } else {
    link.watch = context_.loop.watch(link.stream->fd(), events, [this, handler](uint32_t seen) {
      (this->*handler)(seen);
      update_interest();
    });
  }
}

void Session::update_interest() {
  if (state_ == State::kClosed) return;
  set_interest(client_, client_events(), &Session::on_client);
  set_interest(server_, server_events(), &Session::on_server);
}

bool Session::flush(Link& link) {
  while (link.stream && !link.out.empty()) {
    const net::IoResult result = link.stream->write(link.out.view());
    if (result.kind == net::IoResult::Kind::kWait) return true;
    if (result.kind != net::IoResult::Kind::kDone) return false;
    link.out.consume(result.count);
  }
  return true;
}

void Session::send_client(std::string_view bytes) {
  if (state_ == State::kClosed) return;
  client_.out.append(bytes);
  if (!flush(client_)) end();
}

void Session::fail(std::string_view sqlstate, const std::string& message, const std::string& detail) {
  if (state_ == State::kClosed || state_ == State::kClosing) return;
  if (state_ != State::kRelay) ++context_.shared.counters.refused_total;
  pgwire::ErrorResponse error;
  error.severity = "FATAL";
  error.sqlstate = sqlstate;
  error.message = message;
  error.detail = detail;
  std::string bytes;
  pgwire::encode(bytes, error);
  client_.out.append(bytes);
  close_after_flush();
}

void Session::close_after_flush() {
  drop_server();
  transition(State::kClosing);
  arm(kLastWordsTimeout, &Session::end);
  if (!flush(client_)) return end();
  if (client_.out.empty()) linger();
  update_interest();
}

// Closing a socket with unread bytes resets it, and the client would lose our last words: end our
// direction and read what still comes, for a moment.
void Session::linger() {
  client_.stream->shut_down();
  ::shutdown(client_.stream->fd(), SHUT_WR);
  arm(kLingerTimeout, &Session::end);
}

void Session::end() {
  if (state_ == State::kClosed) return;
  disarm();
  drop_server();
  context_.loop.unwatch(client_.watch);
  client_.stream.reset();
  client_.out.clear();
  if (counted_client_) --context_.shared.counters.clients;
  counted_client_ = false;
  state_ = State::kClosed;
  context_.ended(id_);
}

void Session::drop_server() {
  context_.loop.unwatch(server_.watch);
  server_ = Link();
  server_framer_.clear();
  auth_client_.reset();
  server_authenticated_ = false;
  if (cancel_pid_ != 0) context_.shared.cancels.remove(cancel_pid_);
  cancel_pid_ = 0;
  if (counted_server_) context_.shared.counters.server_closed(node_.name);
  counted_server_ = false;
}

void Session::shut_down() {
  const bool can_speak = state_ != State::kRelay || server_.walk.at_boundary();
  if (can_speak && state_ != State::kClosing && state_ != State::kCancelling) {
    fail(pgwire::sqlstate::kAdminShutdown, "the balancer is shutting down", "Connect again in a moment.");
  }
  end();
}

void Session::on_client(uint32_t events) {
  if ((events & (EPOLLHUP | EPOLLERR)) != 0) client_.hung_up = true;
  if ((events & EPOLLOUT) != 0) {
    const bool was_pending = !client_.out.empty();
    if (!flush(client_)) return end();
    if (was_pending && client_.out.empty() && state_ == State::kClosing) linger();
    if (state_ == State::kRelay && client_.out.size() < kMaxPending) relay_server();
  }
  if (state_ == State::kClosed) return;
  if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) == 0 && !client_.stream->read_wants_write()) return;
  if (state_ == State::kRelay) {
    relay_client();
  } else {
    read_login();
  }
}

void Session::on_server(uint32_t events) {
  if ((events & (EPOLLHUP | EPOLLERR)) != 0) server_.hung_up = true;
  if (state_ == State::kConnecting) return connected();
  if (state_ == State::kCancelling) return cancel_packet_.empty() ? read_cancel_end() : cancel_connected();
  if ((events & EPOLLOUT) != 0) {
    if (!flush(server_)) {
      server_.write_dead = true;
      server_.out.clear();
    }
    if (state_ == State::kRelay) relay_client();
  }
  if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) == 0 || !server_.stream) return;
  if (state_ == State::kServerLogin) return read_server_login();
  if (state_ == State::kRelay) relay_server();
}

}  // namespace pgb::proxy
