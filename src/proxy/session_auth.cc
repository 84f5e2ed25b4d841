// Which proof a client has to give, and whether it gives it: rules, certificate, SCRAM, md5.
#include "base/log.h"
#include "pgwire/error_response.h"
#include "pgwire/messages.h"
#include "proxy/session.h"

namespace pgb::proxy {
namespace {

namespace sqlstate = pgwire::sqlstate;

// Names reach logs and error messages: without control characters, and not endless.
std::string printable(std::string_view text) {
  std::string out(text.substr(0, 64));
  for (char& c : out) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  }
  return out;
}

constexpr size_t kLongestName = 63;  // a server cuts longer ones: it would take the client for somebody else

std::string failure_text(AuthMethod method, const std::string& user) {
  const char* what = method == AuthMethod::kCert ? "certificate" : "password";
  return std::string(what) + " authentication failed for user \"" + user + "\"";
}

}  // namespace

void Session::begin_authentication() {
  if (!find_method()) return;
  transition(State::kLookup);
  AuthDirectory& auth = context_.shared.auth;
  const std::string& user = login_->params["user"];
  const bool asks_password = login_->method == AuthMethod::kScram || login_->method == AuthMethod::kMd5;
  // Nobody has to prove anything: the servers are not asked for a secret that would only serve to check a proof.
  if (!asks_password && !auth.is_configured(user)) return on_secret(UserSecret());
  const Deadline deadline = Deadline::after(context_.shared.settings.server_timeout);
  auto tell = [&context = context_, id = id_](AuthDirectory::Answer answer) {
    auto shared_answer = std::make_shared<AuthDirectory::Answer>(std::move(answer));
    context.loop.post([&context, id, shared_answer] {
      if (Session* session = context.find(id)) session->on_secret(std::move(*shared_answer));
    });
  };
  // The console is there for the time when no server is.
  using Unasked = AuthDirectory::Unasked;
  auth.look_up(user, deadline, std::move(tell), asks_for_console() ? Unasked::kRemembered : Unasked::kNothing);
}

// The method of the first rule that speaks of this client. False when it was refused.
bool Session::find_method() {
  const HbaRulesPtr rules = context_.shared.hba.get();
  if (!rules) return true;
  HbaClient client;
  client.address = net::Address::peer_of(client_.stream->fd());
  client.encrypted = client_.stream->encrypted();
  client.physical_replication = login_->replication == Replication::kPhysical;
  client.user = login_->params["user"];
  client.database = login_->params["database"];
  const HbaRule* rule =
      rules->find(client, rules->asks_for_own_networks() ? net::own_networks() : std::vector<net::Network>());
  if (rule == nullptr || rule->method == AuthMethod::kReject) {
    refuse(client, rule == nullptr);
    return false;
  }
  login_->method = rule->method;
  return check_certificate(rule->method == AuthMethod::kCert ? ClientCert::kUser : rule->cert);
}

// The words are PostgreSQL's own: people search for them.
void Session::refuse(const HbaClient& client, bool no_rule) {
  std::string who;
  if (client.physical_replication) {
    who = no_rule ? "replication connection from host \"" : "replication connection for host \"";
  } else {
    who = no_rule ? "host \"" : "connection for host \"";
  }
  who += client.address.host() + "\", user \"" + client.user + "\", ";
  if (!client.physical_replication) who += "database \"" + client.database + "\", ";
  who += client.encrypted ? "SSL encryption" : "no encryption";
  const std::string text = no_rule ? "no pg_hba.conf entry for " + who : "pg_hba.conf rejects " + who;
  log::info("login of user \"" + printable(client.user) + "\" at database \"" + printable(client.database) +
            "\" from " + peer_ +
            " refused: " + (no_rule ? "no rule of the hba_file speaks of it" : "a rule of the hba_file rejects it"));
  fail(sqlstate::kInvalidAuthorization, text);
}

// Before any password is asked for: who has no certificate learns nothing about passwords.
bool Session::check_certificate(ClientCert wanted) {
  if (wanted == ClientCert::kAny) return true;
  const std::string& user = login_->params["user"];
  if (!client_.stream->peer_verified()) {
    log::info("login of user \"" + printable(user) + "\" from " + peer_ +
              " refused: it has shown no valid certificate");
    fail(sqlstate::kInvalidAuthorization, "connection requires a valid client certificate");
    return false;
  }
  const std::string name = client_.stream->peer_common_name();
  if (wanted == ClientCert::kVerified || (!name.empty() && name == user && name.size() <= kLongestName)) return true;
  log::info("login of user \"" + printable(user) + "\" from " + peer_ + " refused: its certificate is for \"" +
            printable(name) + "\"");
  fail(sqlstate::kInvalidAuthorization, failure_text(AuthMethod::kCert, user));
  return false;
}

void Session::on_secret(AuthDirectory::Answer answer) {
  if (state_ != State::kLookup) return;
  const bool asks_password = login_->method == AuthMethod::kScram || login_->method == AuthMethod::kMd5;
  if (!answer && asks_password) {
    fail(sqlstate::kCannotConnectNow, "no database server can be reached to check the password",
         answer.error().message);
    return update_interest();
  }
  if (answer) login_->secret = std::move(*answer);
  transition(State::kAuthenticating);
  const UserSecret& secret = login_->secret;
  const std::string& user = login_->params["user"];
  if (!asks_password) {
    std::string bytes;
    pgwire::encode(bytes, pgwire::AuthenticationRequest{});
    authenticated(bytes);
  } else if (login_->method == AuthMethod::kMd5 && (secret.empty() || !secret.md5.empty())) {
    login_->md5.emplace(secret.empty() ? pgwire::Md5Server::mock() : pgwire::Md5Server(secret.md5));
    ask_for_proof(login_->md5->start());
  } else {  // md5, too: a verifier checks nothing else
    if (!secret.verifier && !secret.empty()) {
      log::warn("user \"" + printable(user) +
                "\" has an md5 password only, which does not do for scram-sha-256; set it " +
                "anew with password_encryption = 'scram-sha-256', or give it a rule with md5 in the hba_file");
    }
    login_->scram.emplace(secret.verifier ? pgwire::ScramServer(*secret.verifier)
                                          : pgwire::ScramServer::mock(user, context_.shared.mock_secret),
                          client_.stream->end_point());
    ask_for_proof(login_->scram->start());
  }
  update_interest();
}

void Session::ask_for_proof(const std::string& bytes) {
  send_client(bytes);
  if (state_ == State::kAuthenticating) auth_messages();
}

void Session::auth_messages() {
  while (state_ == State::kAuthenticating) {
    const pgwire::Step step = login_->framer.next();
    if (step.kind == pgwire::Step::Kind::kBad) return fail(sqlstate::kProtocolViolation, login_->framer.error());
    if (step.kind != pgwire::Step::Kind::kMessage) return;
    if (step.tag == pgwire::fe::kTerminate) return end();
    if (step.tag != pgwire::fe::kPassword) {
      return fail(sqlstate::kProtocolViolation, "expected a password or a SASL response from the client");
    }
    auto answer = login_->md5 ? login_->md5->feed(step.payload) : login_->scram->feed(step.payload);
    if (!answer) {
      const std::string& user = login_->params["user"];
      if (answer.error().code != Code::kAuth) {
        return fail(answer.error().code == Code::kProtocol ? sqlstate::kProtocolViolation : sqlstate::kInternalError,
                    answer.error().message);
      }
      context_.shared.auth.forget(user);
      log::info("login of user \"" + printable(user) + "\" from " + peer_ + " failed");
      return fail(sqlstate::kInvalidPassword, failure_text(login_->method, user));
    }
    if (answer->done) return authenticated(answer->send);
    send_client(answer->send);
  }
}

// Keeps what the servers may ask for: a password as it is configured, what the client's proof gave, or, of a client
// that had nothing to prove, what another one's gave.
void Session::authenticated(const std::string& last_words) {
  const bool at_console = asks_for_console();
  if (!at_console && !take_client()) return;
  AuthDirectory& auth = context_.shared.auth;
  const std::string& user = login_->params["user"];
  login_->known = login_->secret.credentials();
  if (login_->known.password.empty()) {
    if (login_->scram) {
      login_->known.keys = login_->scram->keys();
      if (context_.shared.hba.get()) auth.keep_keys(user, login_->scram->keys());
    } else if (!login_->md5) {
      login_->known.keys = auth.kept_keys(user);
    }
  }
  login_->secret = {};
  login_->scram.reset();
  login_->md5.reset();
  transition(State::kGreeting);
  send_client(last_words);
  if (state_ != State::kGreeting) return;
  if (at_console) return open_console();
  find_greeting();
}

// Only who has proved who he is takes one of the places.
bool Session::take_client() {
  Counters& counters = context_.shared.counters;
  counted_client_ = counters.take_client();
  if (!counted_client_) {
    fail(sqlstate::kTooManyConnections, "sorry, too many clients already",
         "The balancer serves at most " + std::to_string(counters.max_clients) + " clients at a time.");
  }
  return counted_client_;
}

}  // namespace pgb::proxy
