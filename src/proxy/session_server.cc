// The server's side of a login, and cancel requests.
#include "net/socket.h"
#include "pgwire/error_response.h"
#include "pgwire/messages.h"
#include "proxy/session.h"

namespace pgb::proxy {
namespace {

namespace sqlstate = pgwire::sqlstate;
using Kind = net::IoResult::Kind;
constexpr std::chrono::milliseconds kRetry{200};
constexpr std::chrono::milliseconds kCancelTimeout{5000};

}  // namespace

void Session::on_topology() {
  if (state_ == State::kFindingPrimary) find_primary();
  update_interest();
}

void Session::find_primary() {
  if (state_ != State::kFindingPrimary) return;
  if (const NodeView* primary = context_.topology->primary(); primary != nullptr && !server_deadline_.expired()) {
    return connect_to(*primary);
  }
  if (server_deadline_.expired()) {
    std::string detail = context_.topology->describe();
    if (!last_failure_.empty()) detail = last_failure_ + "; " + detail;
    return fail(sqlstate::kCannotConnectNow, "no primary server can be reached", detail);
  }
  arm(kRetry, &Session::find_primary);
}

void Session::connect_to(const NodeView& node) {
  node_ = node;
  transition(State::kConnecting);
  auto address = net::Address::parse(node.host, node.port);
  if (!address) return server_unreachable(address.error().message);
  server_address_ = *address;
  auto fd = net::start_connect(server_address_);
  if (!fd) return server_unreachable(fd.error().message);
  server_.stream = net::plain_stream(std::move(*fd));
  arm(context_.shared.settings.connect_timeout, &Session::connect_timed_out);
  update_interest();
}

void Session::connect_timed_out() {
  server_unreachable("cannot connect to " + server_address_.str() + ": no answer in time");
}

// Before the server has let us in nothing is lost: try again until the time is up.
void Session::server_unreachable(const std::string& why) {
  last_failure_ = node_.name + ": " + why;
  drop_server();
  transition(State::kFindingPrimary);
  arm(kRetry, &Session::find_primary);
}

void Session::connected() {
  const Status status = net::connect_result(server_.stream->fd(), server_address_);
  if (!status) return server_unreachable(status.error().message);
  context_.shared.counters.server_opened(node_.name);
  counted_server_ = true;
  transition(State::kServerLogin);
  const auto left = std::max(server_deadline_.remaining(), std::chrono::milliseconds(1000));
  arm(left, &Session::server_login_timed_out);
  login_to_server();
}

void Session::login_to_server() {
  auth_client_.emplace(params_["user"], *keys_);
  pgwire::StartupMessage message;
  message.params = params_;
  std::string bytes;
  pgwire::encode(bytes, message);
  server_.out.append(bytes);
  if (!flush(server_)) server_unreachable(server_address_.str() + " closed the connection");
}

void Session::server_login_timed_out() {
  fail(sqlstate::kCannotConnectNow, "the server " + node_.name + " did not finish the login in time",
       server_address_.str());
}

void Session::read_server_login() {
  while (state_ == State::kServerLogin) {
    const net::IoResult got = server_.stream->read(context_.scratch.data(), context_.scratch.size());
    if (got.kind == Kind::kWait) return;
    if (got.kind != Kind::kDone) {
      const std::string why = server_address_.str() + " closed the connection during the login";
      if (!server_authenticated_) return server_unreachable(why);
      return fail(sqlstate::kConnectionFailure, "the server " + node_.name + " is gone", why);
    }
    server_framer_.feed(std::string_view(context_.scratch.data(), got.count));
    for (;;) {
      const pgwire::Step step = server_framer_.next();
      if (step.kind == pgwire::Step::Kind::kBad) {
        return fail(sqlstate::kProtocolViolation, "the server " + node_.name + " sent what is not PostgreSQL",
                    server_framer_.error());
      }
      if (step.kind != pgwire::Step::Kind::kMessage) break;
      if (!server_message(step)) return;
    }
  }
}

bool Session::server_message(const pgwire::Step& step) {
  switch (step.tag) {
    case pgwire::be::kAuthentication: return server_authentication(step.payload);
    case pgwire::be::kErrorResponse: return server_refused(step);
    case pgwire::be::kBackendKeyData: return server_key(step.payload);
    case pgwire::be::kNegotiateProtocolVersion: return true;  // we asked for 3.0 and got it
    case pgwire::be::kReadyForQuery: {
      client_.out.append(step.raw);
      start_relay();
      return false;
    }
    default: client_.out.append(step.raw); return true;  // parameters and notices
  }
}

bool Session::server_authentication(std::string_view payload) {
  auto answer = auth_client_->feed(payload);
  if (!answer) {
    fail(sqlstate::kCannotConnectNow, "cannot log in to the server " + node_.name, answer.error().message);
    return false;
  }
  server_authenticated_ = answer->done;
  server_.out.append(answer->send);
  if (flush(server_)) return true;
  server_unreachable(server_address_.str() + " closed the connection during the login");
  return false;
}

bool Session::server_refused(const pgwire::Step& step) {
  const auto error = pgwire::decode_error(step.payload);
  const bool comes_back =
      error && !server_authenticated_ &&
      (error->sqlstate == sqlstate::kCannotConnectNow || error->sqlstate == sqlstate::kAdminShutdown);
  if (comes_back) {
    server_unreachable(pgwire::describe(*error));
    return false;
  }
  if (error && error->sqlstate == sqlstate::kInvalidPassword) context_.shared.auth.forget(params_["user"]);
  ++context_.shared.counters.refused_total;
  client_.out.append(step.raw);
  close_after_flush();
  return false;
}

bool Session::server_key(std::string_view payload) {
  const auto theirs = pgwire::decode_backend_key_data(payload);
  if (!theirs) {
    fail(sqlstate::kProtocolViolation, "the server " + node_.name + " sent a broken key", theirs.error().message);
    return false;
  }
  auto ours = context_.shared.cancels.add({node_.host, node_.port, theirs->pid, theirs->key});
  if (!ours) {
    fail(sqlstate::kInternalError, ours.error().message);
    return false;
  }
  cancel_pid_ = ours->pid;
  std::string bytes;
  pgwire::encode(bytes, pgwire::BackendKeyData{ours->pid, ours->key});
  client_.out.append(bytes);
  return true;
}

// The answer to a cancel request is that the connection ends, after the server has ended its own.
void Session::cancel(const pgwire::CancelRequest& request) {
  const auto target = context_.shared.cancels.find(request.pid, request.key);
  if (!target) return end();
  const auto address = net::Address::parse(target->host, target->port);
  if (!address) return end();
  auto fd = net::start_connect(*address);
  if (!fd) return end();
  server_address_ = *address;
  server_.stream = net::plain_stream(std::move(*fd));
  pgwire::encode(cancel_packet_, pgwire::CancelRequest{target->pid, target->key});
  transition(State::kCancelling);
  arm(kCancelTimeout, &Session::end);
  update_interest();
}

void Session::cancel_connected() {
  if (!net::connect_result(server_.stream->fd(), server_address_).ok()) return end();
  const net::IoResult sent = server_.stream->write(cancel_packet_);
  if (sent.kind != Kind::kDone || sent.count != cancel_packet_.size()) return end();
  cancel_packet_.clear();
}

void Session::read_cancel_end() {
  const net::IoResult got = server_.stream->read(context_.scratch.data(), context_.scratch.size());
  if (got.kind == Kind::kClosed || got.kind == Kind::kFailed) end();
}

}  // namespace pgb::proxy
