// A client of the console, which has no server at all; and questions to the console in other sessions.
#include "base/log.h"
#include "pgwire/error_response.h"
#include "pgwire/messages.h"
#include "proxy/session.h"

namespace pgb::proxy {
namespace {

namespace sqlstate = pgwire::sqlstate;
using IoKind = net::IoResult::Kind;

constexpr int kMaxReads = 16;  // in one go

}  // namespace

bool Session::asks_for_console() const {
  if (!login_ || login_->replication != Replication::kNone) return false;
  const auto database = login_->params.find("database");
  if (database == login_->params.end() || !is_console(database->second)) return false;
  const ConsolePtr console = context_.shared.console.get();
  return console && console->is_open();
}

// It takes no client's place, and works while no server does.
void Session::open_console() {
  disarm();
  const ConsolePtr console = context_.shared.console.get();
  const std::string user = login_->params["user"];
  if (!console || !console->lets_in(user)) {
    return fail(sqlstate::kInvalidAuthorization, "user \"" + user + "\" may not use the console",
                "admin_users and stats_users of the balancer's configuration say who may.");
  }
  const ConsoleAsker asker{user, peer_, true};
  console_ = std::make_unique<AtConsole>(
      asker, [console, asker](std::string_view text) { return console->describe(asker, text); });
  console_->talk.feed(login_->framer.buffered_bytes());
  login_.reset();
  transition(State::kConsole);
  std::string bytes;
  const std::pair<const char*, std::string> parameters[] = {
      {"server_version", PGB_VERSION "/pgbalancer"},
      {"server_encoding", "UTF8"},
      {"client_encoding", "UTF8"},
      {"DateStyle", "ISO, MDY"},
      {"TimeZone", "UTC"},
      {"integer_datetimes", "on"},
      {"standard_conforming_strings", "on"},
      {"is_superuser", "off"},
      {"session_authorization", user},
  };
  for (const auto& [name, value] : parameters) pgwire::encode(bytes, pgwire::ParameterStatus{name, value});
  pgwire::encode(bytes, pgwire::ReadyForQuery{});
  last_active_ = context_.loop.now();
  if (context_.pool_settings.log_connections) log::info("console: user \"" + user + "\" from " + peer_ + " logged in");
  send_client(bytes);
  console_goes_on();
  update_interest();
}

void Session::read_console() {
  auto& scratch = context_.scratch;
  for (int i = 0; i < kMaxReads && state_ == State::kConsole && console_may_read(); ++i) {
    const net::IoResult got = client_.stream->read(scratch.data(), scratch.size());
    if (got.kind == IoKind::kWait) return;
    if (got.kind != IoKind::kDone) return end();
    last_active_ = context_.loop.now();
    console_->talk.feed(std::string_view(scratch.data(), got.count));
    console_goes_on();
  }
}

// While a command runs, or its answer is not taken, nothing more is read.
bool Session::console_may_read() const { return !asking_ && !client_.congested(); }

void Session::console_goes_on() {
  while (state_ == State::kConsole && console_may_read()) {
    const ConsoleTalk::Next next = console_->talk.next();
    if (const std::string out = console_->talk.take_output(); !out.empty()) send_client(out);
    if (state_ != State::kConsole) return;
    switch (next) {
      case ConsoleTalk::Next::kMore: return;
      case ConsoleTalk::Next::kEnd: return end();
      case ConsoleTalk::Next::kBroken: return fail(sqlstate::kProtocolViolation, console_->talk.error());
      case ConsoleTalk::Next::kAsk: ask_console(console_->asker, console_->talk.text());
    }
  }
}

void Session::ask_console(const ConsoleAsker& asker, const std::string& text) {
  asking_ = true;
  const auto done = [&context = context_, id = id_](ConsoleAnswer answer) {
    auto shared_answer = std::make_shared<ConsoleAnswer>(std::move(answer));
    context.loop.post([&context, id, shared_answer] {
      if (Session* session = context.find(id)) session->console_answered(std::move(*shared_answer));
    });
  };
  if (const ConsolePtr console = context_.shared.console.get()) return console->ask(asker, text, done);
  ConsoleAnswer answer;
  answer.error.emplace();
  answer.error->sqlstate = sqlstate::kCannotConnectNow;
  answer.error->message = "the balancer is shutting down";
  done(std::move(answer));
}

void Session::console_answered(ConsoleAnswer answer) {
  if (!std::exchange(asking_, false)) return;
  if (state_ == State::kConsole) {
    console_->talk.answer(std::move(answer));
    console_goes_on();
  } else if (state_ == State::kReady) {
    std::string bytes;
    encode_answer(bytes, answer);
    send_client(bytes);
    send_ready();
    resume();
  }
  update_interest();
}

}  // namespace pgb::proxy
