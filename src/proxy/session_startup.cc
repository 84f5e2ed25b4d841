// The client's side of a login: TLS, startup packet, greeting; and cancel requests.
#include <sys/socket.h>

#include "base/log.h"
#include "base/strings.h"
#include "pgwire/error_response.h"
#include "pgwire/messages.h"
#include "proxy/session.h"

namespace pgb::proxy {
namespace {

namespace sqlstate = pgwire::sqlstate;
using Kind = net::IoResult::Kind;

constexpr int kMaxLoginReads = 16;  // in one go: a client that never stops sending must not stop the others

}  // namespace

// Reads in every state but kReady and kConsole: login bytes are collected, bytes after the end are thrown away.
void Session::read_login() {
  const auto over = [this] { return state_ == State::kClosed || state_ == State::kReady || state_ == State::kConsole; };
  for (int i = 0; i < kMaxLoginReads && !over(); ++i) {
    if (login_ && login_->framer.buffered() >= context_.scratch.size()) return;
    const net::IoResult got = client_.stream->read(context_.scratch.data(), context_.scratch.size());
    if (got.kind == Kind::kWait) return;
    if (got.kind != Kind::kDone && state_ == State::kCancelling) {  // it does not wait; the request stands all the same
      gone_ = true;
      return;
    }
    if (got.kind != Kind::kDone) return lost_in_login();
    if (state_ == State::kClosing || state_ == State::kCancelling) return;  // once: it may never stop sending
    const std::string_view bytes(context_.scratch.data(), got.count);
    if (state_ == State::kStartup && begins_tls(bytes)) {
      const TlsSetup setup = context_.shared.settings.tls->get();
      if (!setup.to_clients) return end();  // an answer of ours would not be understood
      login_->direct_tls = true;
      start_tls(*setup.to_clients, bytes);
    } else if (state_ == State::kStartup) {
      login_->first_bytes.append(bytes);
      first_packets();
    } else {
      login_->framer.feed(bytes);
      auth_messages();
    }
  }
}

void Session::first_packets() {
  while (state_ == State::kStartup && !login_->first_bytes.empty()) {
    auto read = pgwire::decode_first_packet(login_->first_bytes);
    if (!read) return fail(sqlstate::kProtocolViolation, read.error().message);
    if (!*read) return;
    login_->first_bytes.erase(0, (*read)->size);
    if (!first_packet((*read)->packet)) return;
  }
}

// False when the bytes that follow are not another first packet.
bool Session::first_packet(const pgwire::FirstPacket& packet) {
  // Who begins with TLS must say that it means PostgreSQL: it could be somebody else's client that was led here.
  if (login_->direct_tls && client_.stream->application_protocol() != net::kPostgresProtocol) {
    log::info("the client " + peer_ + " began with TLS, but without the ALPN protocol \"postgresql\"");
    end();
    return false;
  }
  if (std::holds_alternative<pgwire::SslRequest>(packet)) return accept_tls(!login_->first_bytes.empty());
  if (std::holds_alternative<pgwire::GssEncRequest>(packet)) {
    if (std::exchange(login_->gss_answered, true)) {
      fail(sqlstate::kProtocolViolation, "GSS encryption was requested twice");
      return false;
    }
    send_client("N");
    return true;
  }
  if (const auto* request = std::get_if<pgwire::CancelRequest>(&packet)) {
    cancel(*request);
    return false;
  }
  if (is_secure_enough()) startup(std::get<pgwire::StartupMessage>(packet));
  return false;
}

void Session::lost_in_login() {
  const std::string why = client_.stream->failure();
  if (!why.empty() && state_ == State::kStartup) log::info("TLS with the client " + peer_ + " failed: " + why);
  end();
}

// A client may begin with the handshake: its first byte is none that a startup packet begins with.
bool Session::begins_tls(std::string_view bytes) const {
  constexpr char kHandshakeRecord = 0x16;
  return bytes[0] == kHandshakeRecord && login_->first_bytes.empty() && !login_->ssl_answered &&
         !login_->gss_answered && !client_.stream->encrypted();
}

void Session::start_tls(const net::TlsContext& tls, std::string_view early) {
  client_.unwatch();
  client_.stream = net::tls_server_stream(client_.stream->release(), tls, std::string(early));
  if (!client_.stream) end();
}

// Only for who wants to log in: a cancel request is let through as PostgreSQL does, it proves itself by its key.
bool Session::is_secure_enough() {
  const TlsSetup setup = context_.shared.settings.tls->get();
  if (setup.required && !client_.stream->encrypted()) {
    fail(sqlstate::kInvalidAuthorization, "connections without TLS are not accepted here",
         "tls_mode is \"require\"; connect with sslmode=require or better.");
  } else if (setup.certificate_required && !client_.stream->peer_verified()) {
    fail(sqlstate::kInvalidAuthorization, "connection requires a valid client certificate",
         "tls_client_certs is \"required\"; connect with sslcert and sslkey.");
  }
  return state_ == State::kStartup;
}

bool Session::accept_tls(bool more_bytes_came) {
  const auto tls = context_.shared.settings.tls->get().to_clients;
  if (!tls || client_.stream->encrypted()) {
    if (std::exchange(login_->ssl_answered, true)) {
      fail(sqlstate::kProtocolViolation, "TLS was requested twice");
      return false;
    }
    send_client("N");
    return true;
  }
  if (more_bytes_came) {  // sent in the clear, they would be taken for encrypted ones
    fail(sqlstate::kProtocolViolation, "received unencrypted data after the request for TLS");
    return false;
  }
  if (login_->ssl_answered) {
    fail(sqlstate::kProtocolViolation, "TLS was requested twice");
    return false;
  }
  login_->ssl_answered = true;
  send_client("S");
  if (state_ == State::kClosed || !client_.out.empty()) {
    end();
    return false;
  }
  start_tls(*tls, {});
  return state_ != State::kClosed;
}

void Session::startup(const pgwire::StartupMessage& message) {
  login_->params = message.params;
  if (login_->params["user"].empty()) {
    return fail(sqlstate::kInvalidAuthorization, "no PostgreSQL user name specified in startup packet");
  }
  if (login_->params["database"].empty()) login_->params["database"] = login_->params["user"];
  for (const auto& [name, value] : login_->params) {
    if (is_utf8(name) && is_utf8(value)) continue;
    return fail(sqlstate::kProtocolViolation, "a startup parameter is not valid UTF-8");
  }
  negotiate(message);
  auto& params = login_->params;
  for (auto it = params.begin(); it != params.end();) {
    it = it->first.rfind("_pq_.", 0) == 0 ? params.erase(it) : std::next(it);
  }
  if (!login_->first_bytes.empty()) {
    login_->framer.feed(login_->first_bytes);
    std::string().swap(login_->first_bytes);
  }
  if (note_replication()) begin_authentication();
}

// Rules and servers must not read the same value in two ways.
bool Session::note_replication() {
  const auto found = login_->params.find("replication");
  if (found == login_->params.end()) return true;
  const auto asked = replication_of(found->second);
  if (!asked) {
    fail(sqlstate::kInvalidParameterValue, "invalid value for parameter \"replication\": \"" + found->second + "\"",
         "Valid values are: \"false\", 0, \"true\", 1, \"database\".");
    return false;
  }
  login_->replication = *asked;
  if (*asked == Replication::kNone) {
    login_->params.erase(found);
  } else {
    found->second = *asked == Replication::kPhysical ? "true" : "database";
  }
  return true;
}

void Session::negotiate(const pgwire::StartupMessage& message) {
  pgwire::NegotiateProtocolVersion answer;
  for (const auto& [key, value] : message.params) {
    if (key.rfind("_pq_.", 0) == 0) answer.unknown_options.push_back(key);
  }
  if (message.minor() == 0 && answer.unknown_options.empty()) return;
  std::string bytes;
  pgwire::encode(bytes, answer);
  send_client(bytes);
}

void Session::login_timed_out() {
  fail(sqlstate::kProtocolViolation, "the login was not finished in time",
       "The balancer waits " + std::to_string(context_.shared.settings.login_timeout.count()) + " ms for it.");
}

// What a server says about a session with these parameters: known from an earlier one, or asked now.
void Session::find_greeting() {
  disarm();
  if (login_->replication != Replication::kNone) return open_dedicated();
  auto parameters = startup_parameters(login_->params);
  if (!parameters) return fail(sqlstate::kFeatureNotSupported, parameters.error().message);
  for (const auto& [name, value] : *parameters) {
    if (name.find('.') != std::string::npos) custom_names_.push_back(name);
  }
  parameters_ = base_ = context_.shared.sets.intern(std::move(*parameters));
  pool_ = &context_.pools->of(login_->params["user"], login_->params["database"]);
  ++pool_->sessions;
  if (!take_place()) return;
  mode_ = pool_->limits().mode;
  pool_->set_credentials(login_->known);
  if (const auto reported = context_.shared.greetings.find(user(), database(), parameters_)) return greet(*reported);
  wait_until_ = is_kept_back() ? queue_limit() : Deadline::after(context_.shared.settings.server_timeout);
  waiting_ = true;
  on_topology();
}

bool Session::take_place() {
  const PoolSettings& settings = context_.pool_settings;
  const auto place =
      context_.shared.counters.take_place(user(), database(), settings.max_user_clients, settings.max_database_clients);
  has_place_ = place == Counters::Place::kTaken;
  if (place == Counters::Place::kUserFull) {
    fail(sqlstate::kTooManyConnections, "too many connections for role \"" + user() + "\"",
         "max_user_clients is " + std::to_string(settings.max_user_clients));
  } else if (place == Counters::Place::kDatabaseFull) {
    fail(sqlstate::kTooManyConnections, "too many connections for database \"" + database() + "\"",
         "max_database_clients is " + std::to_string(settings.max_database_clients));
  }
  return has_place_;
}

// A replication connection is not pooled: its session is a server's own from the first packet on.
void Session::open_dedicated() {
  const NodeView* primary = context_.topology->primary_for_work();
  if (primary == nullptr) {
    return fail(sqlstate::kCannotConnectNow, "no primary server can be reached", context_.topology->describe());
  }
  pool_ = &context_.pools->of(login_->params["user"], login_->params["database"]);
  ++pool_->sessions;
  ServerLogin how;
  how.user = login_->params["user"];
  how.database = login_->params["database"];
  how.known = login_->known;
  how.more = login_->params;
  dedicated_ = std::make_unique<Server>(context_, *this, *primary, std::move(how));
  waiting_ = true;
  wait_until_ = Deadline::after(context_.shared.settings.server_timeout);
  dedicated_->connect();
}

void Session::server_logged_in(Server& server) {
  server_ = &server;
  waiting_ = false;
  pinned_ = "it is a replication connection";
  server.serve(this);
  greet(server.reported());
}

void Session::server_failed(Server&, const std::string& why, const pgwire::ErrorResponse* error) {
  server_refused(why, error);
}

void Session::server_closed(Server&) {}

void Session::greet(const std::map<std::string, std::string>& reported) {
  std::string bytes;
  for (const auto& [name, value] : reported) {
    if (name == "standard_conforming_strings") default_strings_ = value;
    if (name == "client_encoding") default_encoding_ = value;
    pgwire::encode(bytes, pgwire::ParameterStatus{name, value});
  }
  auto ticket = context_.shared.cancels.add({context_.index, id_});
  if (!ticket) return fail(sqlstate::kInternalError, ticket.error().message);
  cancel_pid_ = ticket->pid;
  pgwire::encode(bytes, pgwire::BackendKeyData{ticket->pid, ticket->key});
  pgwire::encode(bytes, pgwire::ReadyForQuery{});
  transition(State::kReady);
  ++pool_->traffic.logins;
  in_.append(login_->framer.buffered_bytes());
  login_.reset();
  last_active_ = context_.loop.now();
  if (context_.pool_settings.log_connections) log_connection("client logged in");
  send_client(bytes);
  if (!in_.empty()) resume();
  update_interest();
}

// The answer to a cancel request is that the connection ends, after the server has dealt with it.
void Session::cancel(const pgwire::CancelRequest& request) {
  const auto target = context_.shared.cancels.find(request.pid, request.key);
  if (!target) return cancel_elsewhere(request);
  transition(State::kCancelling);
  disarm();
  context_.shared.on(target->reactor, [id = target->session, me = context_.index, mine = id_](ReactorContext& theirs) {
    look_for_cancel(theirs, id, me, mine);
  });
}

// On the thread of session `id`. A server that works for us at the moment shall not be cancelled in that.
void Session::look_for_cancel(ReactorContext& theirs, uint64_t id, unsigned me, uint64_t mine) {
  constexpr std::chrono::milliseconds kPause{2};
  Session* session = theirs.find(id);
  if (session != nullptr && session->server_ != nullptr && session->server_->owes_client() &&
      session->server_->works_for_us()) {
    theirs.loop.after(kPause, [&theirs, id, me, mine] { look_for_cancel(theirs, id, me, mine); });
    return;
  }
  std::optional<CancelTarget> found = session == nullptr ? std::nullopt : session->cancel_wanted();
  theirs.shared.on(me, [found, mine, id, reactor = theirs.index](ReactorContext& ours) {
    Session* asker = ours.find(mine);
    if (asker != nullptr) return asker->on_cancel_target(found, reactor, id);
    if (!found) return;
    ours.shared.on(reactor, [id](ReactorContext& holder) {
      if (Session* held = holder.find(id)) held->release_hold();
    });
  });
}

// The session may be one of the process that this one took over from.
void Session::cancel_elsewhere(const pgwire::CancelRequest& request) {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) != 0) return end();
  os::UniqueFd ours(ends[0]);
  if (!context_.shared.cancels.give_elsewhere(os::UniqueFd(ends[1]))) return end();
  transition(State::kCancelling);
  disarm();
  login_->cancel = std::make_unique<CancelJob>(context_, [this] { end(); });
  login_->cancel->start(std::move(ours), request.pid, request.key);
}

void Session::on_cancel_target(std::optional<CancelTarget> target, unsigned reactor, uint64_t session) {
  if (!target) return end();
  const auto done = [this, reactor, session] {
    context_.shared.on(reactor, [session](ReactorContext& holder) {
      if (Session* held = holder.find(session)) held->release_hold();
    });
    end();
  };
  if (state_ != State::kCancelling) return done();
  login_->cancel = std::make_unique<CancelJob>(context_, done);
  login_->cancel->start(target->address, target->pid, target->key, target->tls, target->tls_host);
}

std::optional<Session::CancelTarget> Session::cancel_wanted() {
  if (server_ != nullptr && server_->owes_client()) {
    ++server_->holds;
    return CancelTarget{server_->address(), server_->pid(), server_->key(), server_->tls(), server_->node().tls_name()};
  }
  if (state_ == State::kReady && waiting_ && !waiting_quiet_) {
    skip_request(sqlstate::kQueryCanceled, "canceling statement due to user request", "It was waiting for a server.");
  }
  return std::nullopt;
}

void Session::release_hold() {
  if (server_ == nullptr || server_->holds == 0) return;
  --server_->holds;
  maybe_release();
  update_interest();
}

}  // namespace pgb::proxy
