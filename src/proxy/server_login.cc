// A server connection's way in: connect, startup packet, authentication, parameters.
#include "net/socket.h"
#include "pgwire/startup.h"
#include "proxy/server.h"

namespace pgb::proxy {

namespace {

using Kind = net::IoResult::Kind;

// What somebody can do about a login that failed.
std::string hint_for(const Error& error) {
  for (const auto& [label, text] : error.details) {
    if (label == "try") return text;
    if (label == "needs") {
      return "Give the balancer this user's password in clear, under \"users\" in its configuration (a SCRAM verifier "
             "only checks a password, it cannot log in), or let the server's pg_hba.conf trust the balancer.";
    }
  }
  return {};
}

}  // namespace

void Server::connect() {
  auto address = net::Address::parse(node_.host, node_.port);
  const auto fail_later = [this](std::string why) {
    timer_ = context_->loop.after(std::chrono::milliseconds(0), [this, why = std::move(why)] {
      timer_ = 0;
      fail(why);
    });
  };
  if (!address) return fail_later(address.error().message);
  address_ = *address;
  auto fd = net::start_connect(address_);
  if (!fd) return fail_later(fd.error().message);
  link_.stream = net::plain_stream(std::move(*fd));
  timer_ = context_->loop.after(context_->shared.settings.connect_timeout, [this] {
    timer_ = 0;
    connect_timed_out();
  });
  update_interest();
}

void Server::connect_timed_out() {
  fail(state_ == State::kConnecting ? "cannot connect to " + address_.str() + ": no answer in time"
                                    : address_.str() + " did not finish the login in time");
}

void Server::connected() {
  const Status status = net::connect_result(link_.stream->fd(), address_);
  if (!status) return fail(status.error().message);
  context_->loop.cancel(timer_);
  timer_ = context_->loop.after(context_->shared.settings.server_timeout, [this] {
    timer_ = 0;
    connect_timed_out();
  });
  state_ = State::kTls;
  tls_ = context_->shared.settings.tls->get().to_servers;
  upgrade_.emplace(tls_, node_.tls_name());
  encrypt();
}

void Server::encrypt() {
  switch (upgrade_->step(link_, context_->loop, *this)) {
    case TlsUpgrade::Step::kWait: return;
    case TlsUpgrade::Step::kLost:
      return fail(address_.str() + " closed the connection before the TLS handshake was done");
    case TlsUpgrade::Step::kRefused: return refused(node_.name + " (" + address_.str() + "): " + upgrade_->why());
    case TlsUpgrade::Step::kDone: return begin_login();
  }
}

void Server::begin_login() {
  upgrade_.reset();
  state_ = State::kLogin;
  tls_.required = link_.stream->encrypted();
  if (!tls_.required) tls_.context.reset();
  pgwire::AuthClient::Options options;
  options.end_point = link_.stream->end_point();
  auth_.emplace(login_.user, login_.known, std::move(options));
  pgwire::StartupMessage message;
  message.params = login_.more;
  message.params["user"] = login_.user;
  message.params["database"] = login_.database;
  std::string bytes;
  pgwire::encode(bytes, message);
  link_.send(bytes);
  update_interest();
}

void Server::read_login() {
  while (state_ == State::kLogin) {
    const net::IoResult got = link_.stream->read(context_->scratch.data(), context_->scratch.size());
    if (got.kind == Kind::kWait) return;
    if (got.kind != Kind::kDone) {
      const std::string why = link_.stream->failure();
      if (!why.empty()) return refused(node_.name + " (" + address_.str() + "): TLS failed: " + why);
      return fail(address_.str() + " closed the connection during the login");
    }
    framer_.feed(std::string_view(context_->scratch.data(), got.count));
    for (;;) {
      const pgwire::Step step = framer_.next();
      if (step.kind == pgwire::Step::Kind::kBad) {
        return fail(address_.str() + " sent what is not PostgreSQL: " + framer_.error());
      }
      if (step.kind != pgwire::Step::Kind::kMessage) break;
      if (!login_message(step)) return;
    }
  }
}

bool Server::login_message(const pgwire::Step& step) {
  switch (step.tag) {
    case pgwire::be::kAuthentication: return authentication(step.payload);
    case pgwire::be::kErrorResponse: {
      const auto error = pgwire::decode_error(step.payload);
      if (error) {
        fail(pgwire::describe(*error), &*error);
      } else {
        fail(address_.str() + " sent a broken error: " + error.error().message);
      }
      return false;
    }
    case pgwire::be::kParameterStatus:
      if (auto status = pgwire::decode_parameter_status(step.payload)) reported_[status->name] = status->value;
      return true;
    case pgwire::be::kBackendKeyData: {
      const auto theirs = pgwire::decode_backend_key_data(step.payload);
      if (!theirs) {
        fail(address_.str() + " sent a broken key: " + theirs.error().message);
        return false;
      }
      pid_ = theirs->pid;
      key_ = theirs->key;
      return true;
    }
    case pgwire::be::kReadyForQuery:
      context_->loop.cancel(timer_);
      timer_ = 0;
      auth_.reset();
      login_.known = {};
      framer_ = pgwire::Framer();
      state_ = State::kReady;
      context_->shared.counters.server_opened(node_.name);
      idle_since = context_->loop.now();
      owner_->server_logged_in(*this);
      return false;
    default: return true;  // notices; we asked for protocol 3.0 and got it
  }
}

// To try again would not help: whoever waits for the server is told at once.
void Server::refused(const std::string& why, const std::string& hint) {
  pgwire::ErrorResponse error;
  error.severity = "FATAL";
  error.sqlstate = pgwire::sqlstate::kInvalidAuthorization;
  error.message = "cannot log in to the server " + node_.name;
  error.detail = why;
  error.hint = hint;
  fail(why, &error);
}

bool Server::authentication(std::string_view payload) {
  auto answer = auth_->feed(payload);
  if (!answer) {
    refused(answer.error().message, hint_for(answer.error()));
    return false;
  }
  authenticated_ = answer->done;
  link_.send(answer->send);
  return true;
}

}  // namespace pgb::proxy
