// The client's side of a login: TLS, startup packet, SCRAM.
#include "base/log.h"
#include "pgwire/error_response.h"
#include "pgwire/messages.h"
#include "proxy/session.h"

namespace pgb::proxy {
namespace {

namespace sqlstate = pgwire::sqlstate;
using Kind = net::IoResult::Kind;

// Names reach logs and error messages: without control characters, and not endless.
std::string printable(std::string_view text) {
  std::string out(text.substr(0, 64));
  for (char& c : out) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  }
  return out;
}

}  // namespace

// Reads in every state but kRelay: login bytes are collected, bytes after the end are thrown away.
void Session::read_login() {
  while (state_ != State::kClosed && state_ != State::kRelay && client_framer_.buffered() < sizeof context_.scratch) {
    const net::IoResult got = client_.stream->read(context_.scratch.data(), context_.scratch.size());
    if (got.kind == Kind::kWait) return;
    if (got.kind != Kind::kDone) return end();
    if (state_ == State::kClosing || state_ == State::kCancelling) return;  // once: it may never stop sending
    const std::string_view bytes(context_.scratch.data(), got.count);
    if (state_ == State::kStartup) {
      first_bytes_.append(bytes);
      first_packets();
    } else {
      client_framer_.feed(bytes);
      auth_messages();
    }
  }
}

void Session::first_packets() {
  while (state_ == State::kStartup && !first_bytes_.empty()) {
    auto read = pgwire::decode_first_packet(first_bytes_);
    if (!read) return fail(sqlstate::kProtocolViolation, read.error().message);
    if (!*read) return;
    first_bytes_.erase(0, (*read)->size);
    if (!first_packet((*read)->packet)) return;
  }
}

// False when the bytes that follow are not another first packet.
bool Session::first_packet(const pgwire::FirstPacket& packet) {
  if (std::holds_alternative<pgwire::SslRequest>(packet)) return accept_tls(!first_bytes_.empty());
  if (std::holds_alternative<pgwire::GssEncRequest>(packet)) {
    send_client("N");
    return true;
  }
  if (const auto* request = std::get_if<pgwire::CancelRequest>(&packet)) {
    cancel(*request);
    return false;
  }
  startup(std::get<pgwire::StartupMessage>(packet));
  return false;
}

bool Session::accept_tls(bool more_bytes_came) {
  const auto& tls = context_.shared.settings.tls;
  if (!tls || client_.stream->encrypted()) {
    send_client("N");
    return true;
  }
  if (more_bytes_came) {  // sent in the clear, they would be taken for encrypted ones
    fail(sqlstate::kProtocolViolation, "received unencrypted data after the request for TLS");
    return false;
  }
  if (ssl_answered_) {
    fail(sqlstate::kProtocolViolation, "TLS was requested twice");
    return false;
  }
  ssl_answered_ = true;
  send_client("S");
  if (state_ == State::kClosed || !client_.out.empty()) {
    end();
    return false;
  }
  context_.loop.unwatch(client_.watch);
  client_.watch = 0;
  client_.stream = net::tls_server_stream(client_.stream->release(), *tls);
  if (!client_.stream) end();
  return state_ != State::kClosed;
}

void Session::startup(const pgwire::StartupMessage& message) {
  params_ = message.params;
  if (params_["user"].empty()) {
    return fail(sqlstate::kInvalidAuthorization, "no PostgreSQL user name specified in startup packet");
  }
  if (params_["database"].empty()) params_["database"] = params_["user"];
  Counters& counters = context_.shared.counters;
  counted_client_ = counters.take_client();
  if (!counted_client_) {
    return fail(sqlstate::kTooManyConnections, "sorry, too many clients already",
                "The balancer serves at most " + std::to_string(counters.max_clients) + " clients at a time.");
  }
  if (message.minor() > 0) negotiate(message);
  for (auto it = params_.begin(); it != params_.end();) {
    it = it->first.rfind("_pq_.", 0) == 0 ? params_.erase(it) : std::next(it);
  }
  if (!first_bytes_.empty()) {
    client_framer_.feed(first_bytes_);
    std::string().swap(first_bytes_);
  }
  transition(State::kLookup);
  const Deadline deadline = Deadline::after(context_.shared.settings.server_timeout);
  context_.shared.auth.look_up(params_["user"], deadline,
                               [&context = context_, id = id_](AuthDirectory::Answer answer) {
                                 auto shared_answer = std::make_shared<AuthDirectory::Answer>(std::move(answer));
                                 context.loop.post([&context, id, shared_answer] {
                                   if (Session* session = context.find(id))
                                     session->on_verifier(std::move(*shared_answer));
                                 });
                               });
}

void Session::negotiate(const pgwire::StartupMessage& message) {
  pgwire::NegotiateProtocolVersion answer;
  for (const auto& [key, value] : message.params) {
    if (key.rfind("_pq_.", 0) == 0) answer.unknown_options.push_back(key);
  }
  std::string bytes;
  pgwire::encode(bytes, answer);
  send_client(bytes);
}

void Session::on_verifier(AuthDirectory::Answer answer) {
  if (state_ != State::kLookup) return;
  if (!answer) {
    fail(sqlstate::kCannotConnectNow, "no database server can be reached to check the password",
         answer.error().message);
  } else {
    const std::optional<pgwire::ScramVerifier>& verifier = *answer;
    auth_server_.emplace(verifier ? pgwire::ScramServer(*verifier)
                                  : pgwire::ScramServer::mock(params_["user"], context_.shared.mock_secret));
    transition(State::kAuthenticating);
    send_client(auth_server_->start());
    if (state_ == State::kAuthenticating) auth_messages();
  }
  update_interest();
}

void Session::auth_messages() {
  while (state_ == State::kAuthenticating) {
    const pgwire::Step step = client_framer_.next();
    if (step.kind == pgwire::Step::Kind::kBad) return fail(sqlstate::kProtocolViolation, client_framer_.error());
    if (step.kind != pgwire::Step::Kind::kMessage) return;
    if (step.tag == pgwire::fe::kTerminate) return end();
    if (step.tag != pgwire::fe::kPassword) {
      return fail(sqlstate::kProtocolViolation, "expected a SASL response from the client");
    }
    auto answer = auth_server_->feed(step.payload);
    if (!answer) {
      const std::string& user = params_["user"];
      if (answer.error().code != Code::kAuth) return fail(sqlstate::kProtocolViolation, answer.error().message);
      context_.shared.auth.forget(user);
      log::info("login of user \"" + printable(user) + "\" from " + peer_ + " failed");
      return fail(sqlstate::kInvalidPassword, "password authentication failed for user \"" + user + "\"");
    }
    if (!answer->done) {
      send_client(answer->send);
      continue;
    }
    keys_ = auth_server_->keys();
    auth_server_.reset();
    disarm();
    transition(State::kFindingPrimary);
    server_deadline_ = Deadline::after(context_.shared.settings.server_timeout);
    send_client(answer->send);
    if (state_ == State::kFindingPrimary) find_primary();
  }
}

void Session::login_timed_out() {
  fail(sqlstate::kProtocolViolation, "the login was not finished in time",
       "The balancer waits " + std::to_string(context_.shared.settings.login_timeout.count()) + " ms for it.");
}

}  // namespace pgb::proxy
