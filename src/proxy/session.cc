#include "proxy/session.h"

#include <sys/socket.h>

#include "base/log.h"
#include "pgwire/error_response.h"

namespace pgb::proxy {
namespace {
using std::chrono::milliseconds;
constexpr size_t kMaxEarly = 65536;  // what a client may send before its login is through
constexpr milliseconds kLastWordsTimeout{5000};
constexpr milliseconds kLingerTimeout{1000};
}  // namespace

const char* Session::name(State state) {
  static constexpr const char* kNames[] = {"startup", "lookup",     "authenticating", "greeting", "ready",
                                           "console", "cancelling", "closing",        "closed"};
  return kNames[static_cast<size_t>(state)];
}

bool Session::may_follow(State from, State to) {
  if (from == State::kClosed) return false;
  if (to == State::kClosed) return true;
  if (to == State::kClosing) return from != State::kClosing;
  switch (from) {
    case State::kStartup: return to == State::kLookup || to == State::kCancelling;
    case State::kLookup: return to == State::kAuthenticating;
    case State::kAuthenticating: return to == State::kGreeting;
    case State::kGreeting: return to == State::kReady || to == State::kConsole;
    default: return false;
  }
}

Session::Session(uint64_t id, os::UniqueFd client, ReactorContext& context)
    : id_(id), context_(context), peer_(net::Address::peer_of(client.get()).str()) {
  client_.stream = net::plain_stream(std::move(client));
  parameters_ = base_ = context.shared.sets.none();
  ++context.shared.counters.connections;
  made_ = last_active_ = transaction_since_ = request_since_ = context.loop.now();
}

Session::~Session() {
  if (state_ != State::kClosed) end();
}

const std::string& Session::user() const { return pool_->user(); }
const std::string& Session::database() const { return pool_->database(); }

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

void Session::update_interest() {
  if (state_ == State::kClosed || !client_.is_open()) return;
  bool read = true;
  if (state_ == State::kReady) {
    constexpr size_t kMaxHeld = 64 * 1024, kMaxWhole = 1280 * 1024;
    read = !gone_ && in_.size() < (waiting_ ? kMaxHeld : kMaxWhole) && !choked();
  } else if (state_ == State::kConsole) {
    read = console_may_read();
  } else if (login_) {
    read = !gone_ && login_->framer.buffered() < kMaxEarly;
  }
  const bool write = client_.blocked() || client_.stream->read_wants_write();
  uint32_t events = (read ? EPOLLIN : 0u) | (write ? EPOLLOUT : 0u);
  if (read && state_ == State::kReady && !client_.stream->encrypted()) events |= EPOLLET | EPOLLRDHUP;
  client_.watch(context_.loop, *this, events);
}

// A failure shows when reading: the session ends then, not in the middle of something.
void Session::send_client(std::string_view bytes) {
  if (state_ == State::kClosed || !client_.is_open()) return;
  if (state_ == State::kReady) {
    client_.post(bytes);
  } else {
    client_.send(bytes);
  }
  if (client_.blocked()) update_interest();
}

void Session::fail(std::string_view sqlstate, const std::string& message, const std::string& detail) {
  if (state_ == State::kClosed || state_ == State::kClosing) return;
  if (state_ != State::kReady && state_ != State::kConsole) ++context_.shared.counters.refused_total;
  // In the middle of a message of the server's, an error would be taken for the rest of it.
  if (server_ != nullptr && server_->mid_message()) return end();
  pgwire::ErrorResponse error;
  error.severity = "FATAL";
  error.sqlstate = sqlstate;
  error.message = message;
  error.detail = detail;
  std::string bytes;
  pgwire::encode(bytes, error);
  client_.append(bytes);
  close_after_flush();
}

void Session::close_after_flush() {
  drop_server();
  transition(State::kClosing);
  arm(kLastWordsTimeout, &Session::end);
  if (!client_.flush()) return end();
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
  if (cancel_pid_ != 0 && context_.pool_settings.log_connections) log_connection("client left");
  client_.close();
  --context_.shared.counters.connections;
  if (counted_client_) --context_.shared.counters.clients;
  counted_client_ = false;
  if (pool_ != nullptr) --pool_->sessions;
  if (has_place_) context_.shared.counters.leave_place(user(), database());
  has_place_ = false;
  if (cancel_pid_ != 0) context_.shared.cancels.remove(cancel_pid_);
  cancel_pid_ = 0;
  state_ = State::kClosed;
  context_.ended(id_);
}

// The session has no use for a server any more. One that is in the middle of something is closed; one that holds
// something of this session is cleaned; another client never sees either.
void Session::drop_server() {
  if (queued_) pool_->forget(*this);
  queued_ = waiting_ = false;
  if (dedicated_) {
    dedicated_->close();
    context_.bury(std::move(dedicated_));
    server_ = nullptr;
    return;
  }
  if (server_ == nullptr) return;
  Server& server = *server_;
  server_ = nullptr;
  --server.node().gauge->busy;
  ++context_.stats.transactions;
  ++pool_->traffic.transactions;
  server.serve(nullptr);
  // Without its Sync a request is not committed, whatever was answered: only the end of the connection undoes it.
  const bool unfinished = !batch_start_ || (body_left_ > 0 && body_goes_);
  const bool waits_for_us = unfinished || server.holds > 0 || !server.sent_all() || server.wants_copy();
  if (server.owes_client() && !server.skipping() && !waits_for_us) {
    // Of what would be rolled back anyway, or only reads, nothing is lost if it is ended at once.
    const bool open = pooled() && server.status() != pgwire::TxnStatus::kIdle && !ends_sent_;
    const bool reads = routed_replica_ || (requests_ == 1 && only_reads_);
    return pool_->end_work(server, open || reads, nullptr);
  }
  if (server.owes_client() || waits_for_us) return pool_->discard(server);
  const bool clean = server.idle() && pinned_.empty() && !truth_needed_ && mode_ != PoolMode::kSession &&
                     server.parameters() == parameters_;
  if (clean) return pool_->give_back(server);
  pool_->clean_up(server);
}

void Session::shut_down() {
  if (state_ != State::kClosing && state_ != State::kCancelling) {
    shuts_down();
  }
  end();
}

void Session::on_events(uint32_t events) {
  client_.note_events(events);
  if ((events & EPOLLOUT) != 0) {
    const bool was_pending = !client_.out.empty();
    client_.flush();
    if (was_pending && client_.out.empty() && state_ == State::kClosing) linger();
    if (server_ != nullptr && !client_.congested()) server_->resume();
    if (state_ == State::kReady) resume();
    if (state_ == State::kConsole) console_goes_on();
  }
  if (state_ == State::kClosed) return;
  if (!gone_ && ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0 || client_.stream->read_wants_write())) {
    if (state_ == State::kReady) {
      read_client();
    } else if (state_ == State::kConsole) {
      read_console();
    } else {
      read_login();
    }
  }
  update_interest();
}

void Session::tick() {
  if (state_ == State::kClosed || state_ == State::kClosing) return;
  const bool held_too_long = held_until_ && held_until_->expired() && !queued_;
  if (ending_) return;
  if (waiting_ && (wait_until_.expired() || held_too_long)) return waited_too_long();
  const auto patience = context_.shared.settings.server_timeout;
  if (server_ != nullptr && server_->works_for_us() && context_.loop.now() - server_->asked >= patience) {
    return server_->abandon("the server " + server_->node().name + " did not answer a question of the balancer's own");
  }
  if (waiting_ && !queued_ && !waiting_quiet_ && server_ == nullptr) return on_topology();
  if (state_ != State::kReady) return;
  // It said goodbye without what the server waits for: there will be no answer.
  if (leaving_ && server_ != nullptr && (server_->skipping() || server_->wants_copy())) return end();
  if (dedicated_) return;
  if (server_ == nullptr || (server_->idle() && batch_start_)) return tick_idle();
  tick_busy();
}

void Session::tick_idle() {
  const auto limit = context_.pool_settings.client_idle_timeout;
  if (limit.count() <= 0 || waiting_ || context_.loop.now() - last_active_ < limit) return;
  fail(pgwire::sqlstate::kIdleSessionTimeout, "the session was idle for too long",
       "client_idle_timeout is " + std::to_string(limit.count()) + " ms");
}

void Session::tick_busy() {
  const PoolSettings& settings = context_.pool_settings;
  const auto now = context_.loop.now();
  if (settings.query_timeout.count() > 0 && server_->owes_client() && now - request_since_ >= settings.query_timeout) {
    return query_timed_out();
  }
  const bool open = server_->status() != pgwire::TxnStatus::kIdle || !batch_start_;  // or a Sync is still to come
  if (settings.idle_transaction_timeout.count() > 0 && server_->quiet() && open &&
      now - last_active_ >= settings.idle_transaction_timeout) {
    fail("25P03", "the transaction was idle for too long",
         "idle_transaction_timeout is " + std::to_string(settings.idle_transaction_timeout.count()) + " ms");
  }
}

// The client is told when the server has ended it, and what it came to.
void Session::query_timed_out() {
  Server& server = *server_;
  server_ = nullptr;
  cut_ = server.passes_message();
  ending_ = waiting_ = waiting_quiet_ = true;
  --server.node().gauge->busy;
  ++context_.stats.transactions;
  ++pool_->traffic.transactions;
  pool_->end_work(server, true, [&context = context_, id = id_](Pool::WorkEnd how) {
    if (Session* session = context.find(id)) session->query_ended(how);
  });
}

void Session::query_ended(Pool::WorkEnd how) {
  if (cut_) return end();  // an error would be taken for the rest of what it has
  const std::string limit = "query_timeout is " + std::to_string(context_.pool_settings.query_timeout.count()) + " ms";
  if (how == Pool::WorkEnd::kFailed) {
    return fail(pgwire::sqlstate::kQueryCanceled, "the query took too long", limit);
  }
  const bool done = how == Pool::WorkEnd::kDone;
  fail(pgwire::sqlstate::kTransactionUnknown, "the query took too long, and whether it took effect is unknown",
       limit + (done ? "; it was over when it was to be cancelled." : "; the server did not say that it ended it."));
}

}  // namespace pgb::proxy
