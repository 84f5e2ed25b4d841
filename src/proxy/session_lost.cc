// A session whose server is gone: what was surely not executed goes to another one, of all else the client is told what
// is known, and the session goes on. And what waits while there is no primary.
#include <algorithm>

#include "pgwire/error_response.h"
#include "pgwire/messages.h"
#include "proxy/message_bytes.h"
#include "proxy/session.h"

namespace pgb::proxy {
namespace {

namespace fe = pgwire::fe;
namespace sqlstate = pgwire::sqlstate;

constexpr size_t kMaxKept = 16384;  // bytes of a request that is kept until its answer begins
constexpr unsigned kMostAgain = 1;  // a statement that crashes servers shall not crash all of them

std::string in_words(const Loss& loss, const Server& server) {
  std::string text = "Server: " + server.node().name + " (" + server.address().str() + ")";
  return loss.words.empty() ? text : text + "; its last words: " + loss.words;
}

}  // namespace

// A request begins at a server. Only one that comes when nothing is under way, to a server that has seen nothing else
// of this session, could be sent to another one.
void Session::note_request(const Input& in) {
  const bool first = std::exchange(fresh_, false) && requests_ == 0 && pooled() && pinned_.empty();
  ++requests_;
  only_reads_ = first && routed_.replica;
  new_names_ = first;
  plain_ = first;
  if (!first) return;
  kept_from_ = in.at;
  kept_at_ = server_->sent() + (in.at - in.sent);
}

// If it is here as a whole. The memory is that of messages to come: a session at rest has none.
void Session::keep_request(const Input& in) {
  const size_t from = std::exchange(kept_from_, kNothing);
  const bool whole = requests_ == 1 && batch_start_ && body_left_ == 0 && in.at - from <= kMaxKept;
  if (!whole) return;
  kept_.give_memory(context_.loop.send_queue().take_memory());
  kept_.append(in.bytes.substr(from, in.at - from));
}

void Session::drop_kept() {
  kept_.clear();
  context_.loop.send_queue().give_memory(kept_.take_memory());
}

// What the text of a request says about what a lost server may have made of it.
void Session::note_meaning(const Look& look) {
  using sql::Transaction;
  const sql::Verdict& verdict = *look.verdict;
  const bool one = verdict.parsed && verdict.statements <= 1;
  const bool control = verdict.transaction != Transaction::kNone;
  const bool begins = verdict.transaction == Transaction::kBegin ||
                      verdict.transaction == Transaction::kBeginReadOnly ||
                      verdict.transaction == Transaction::kBeginReadWrite;
  const bool reads = look.replica && !verdict.hint_replica;  // a hint vouches for replicas only
  only_reads_ = only_reads_ && reads;
  const bool within = begins || reads || (!control && verdict.writes && !verdict.changes_catalog);
  plain_ = plain_ && one && within && !look.may_do_anything;
  if (begins) control_ = Control::kBegin;
  const bool may_commit = verdict.transaction == Transaction::kCommit || verdict.transaction == Transaction::kTwoPhase;
  if (may_commit || verdict.transaction == Transaction::kRollback) {
    control_ = Control::kEnd;
    ends_seen_ = true;
  }
  if (may_commit || !verdict.parsed || (control && !one)) ends_sent_ = true;
}

// The client knows the session as the server's answers have shown it. Where the balancer does not know better than to
// ask the server what was left behind, it asks before the client may rely on it.
bool Session::holds_ready(Server& server) {
  if (mode_ == PoolMode::kStatement && server.status() != pgwire::TxnStatus::kIdle) return true;  // see server_ready()
  if (!truth_needed_ || !pooled() || server.status() != pgwire::TxnStatus::kIdle) return false;
  ready_held_ = !leaving_ && server.quiet() && server.holds == 0 && batch_start_ && !(body_left_ > 0 && body_goes_);
  truth_owed_ = !ready_held_;
  return ready_held_;
}

// Whether all that the session is would be there without its server.
bool Session::can_go_on(const Server& server) const {
  return state_ == State::kReady && pooled() && pinned_.empty() && !truth_owed_ && !server.passes_message();
}

bool Session::outlives(Server& server) { return can_go_on(server); }

// No byte of an answer was passed on. It was not executed if the server had not got it, and may be executed twice if
// it reads only, or begins a transaction that has no end there. What the server was about to write when it was shut
// down, it has not committed: else it would have said so before it said goodbye.
bool Session::may_be_sent_again(const Loss& loss) const {
  if (kept_.empty() || requests_ != 1) return false;
  if (loss.received <= kept_at_) return true;
  const bool never_ends = plain_ && control_ == Control::kBegin && !ends_sent_;  // nobody will commit it there
  if (only_reads_ || never_ends) return sent_again_ < kMostAgain;
  return loss.aborted && plain_;
}

// Whatever was noted of it is taken back, so that it can come anew, or as if it had not come.
void Session::forget_request(Server& server) {
  server.skip_all(*this);
  changes_.clear();
  if (std::exchange(catalog_changed_, false)) context_.router->note_change(database(), new_code_);
  new_code_.clear();
  if (std::exchange(wrote_, false)) last_write_ns_ = context_.router->note_write();
  set_locally_ = truth_needed_ = untold_ = drew_number_ = parses_ours_ = discards_ = discards_all_ = reset_all_ =
      ready_held_ = false;
  reset_names_.clear();
  sticky_pin_.clear();
  last_text_ = nullptr;
  requests_ = 0;
  control_ = Control::kNone;
  ends_sent_ = ends_seen_ = flush_asked_ = body_ended_ = false;
  elsewhere_ = Elsewhere::kNo;
}

// As if it had just come.
void Session::take_up_kept() {
  const std::string later(in_.view());
  in_.clear();
  in_.append(kept_.view());
  in_.append(later);
  drop_kept();
}

void Session::send_again() {
  take_up_kept();
  resume();
  update_interest();
}

void Session::send_error(std::string_view sqlstate, const std::string& message, const std::string& detail) {
  pgwire::ErrorResponse error;
  error.sqlstate = sqlstate;
  error.message = message;
  error.detail = detail;
  std::string bytes;
  pgwire::encode(bytes, error);
  send_client(bytes);
}

void Session::server_lost(Server& server, const Loss& loss) {
  if (server_ == &server) {
    server_ = nullptr;
    if (&server != dedicated_.get()) --server.node().gauge->busy;
  }
  if (leaving_) return end();
  if (can_go_on(server) && !loss.said_why) {
    waiting_ = waiting_quiet_ = false;
    if (may_be_sent_again(loss)) {
      sent_again_ = loss.received <= kept_at_ ? sent_again_ : sent_again_ + 1;
      forget_request(server);
      return send_again();
    }
    if (!kept_.empty()) drop_kept();
    tell_of_loss(server, loss);
    resume();
    return update_interest();
  }
  if (loss.said_why || server.mid_message()) return close_after_flush();  // an error would be taken for data
  if (state_ == State::kGreeting) {                                       // nothing is lost yet
    waiting_ = true;
    queued_ = false;
    wait_until_ = Deadline::after(context_.shared.settings.server_timeout);
    return;
  }
  fail(sqlstate::kConnectionFailure, loss.why + (loss.words.empty() ? " unexpectedly" : ""),
       "Whether a statement that was under way took effect is unknown. " + in_words(loss, server));
}

// Each request that was under way is answered, and a transaction that was open is so no more: the client is told when
// it says something, for it waits for nothing.
void Session::tell_of_loss(Server& server, const Loss& loss) {
  const bool was_open = server.status() != pgwire::TxnStatus::kIdle;
  const bool open = control_ == Control::kBegin || (control_ == Control::kNone && was_open);
  const bool alone = requests_ <= 1;
  const bool rolled_back = !ends_sent_ && (was_open ? !ends_seen_ || alone : control_ == Control::kBegin && alone);
  const bool read = !open && alone && only_reads_;
  const bool done = std::exchange(ready_held_, false);
  const bool told = server.skipping();  // an error, of the request whose end has not come yet
  size_t owed = server.owed() + (done ? 1 : 0);
  forget_request(server);
  const std::string where = in_words(loss, server);
  if (open) {
    lost_ = loss.why + ". " + where;
    lost_told_ = owed > 0 || !batch_start_;
  }
  std::string state = sqlstate::kTransactionUnknown, message = loss.why + ", and whether it took effect is unknown";
  std::string detail = "What was under way may have been executed or not: look before you repeat it. " + where;
  if (rolled_back) {
    state = sqlstate::kSerializationFailure;
    message = loss.why + ", and the transaction was rolled back";
    detail = "Nothing of it was committed: roll back and run it again, on this connection. " + where;
  } else if (done) {
    state = sqlstate::kConnectionFailure;
    message = loss.why + " after it had executed the statement";
    detail = "What it changed in the database stands, what it changed in the session does not. " + where;
  } else if (read) {
    state = sqlstate::kSerializationFailure;
    message = loss.why + " before the answer was complete";
    detail = "It only read: run it again, on this connection. " + where;
  }
  for (; owed > 0; --owed) {
    send_error(state, message, detail);
    send_ready();
  }
  if (batch_start_) return;
  if (!told) send_error(state, message, detail);
  skipping_ = true;
}

// In a transaction whose server is gone. As PostgreSQL does in a failed one, everything is refused up to its end. Its
// COMMIT is refused, too, where PostgreSQL would say ROLLBACK: the client may hear of the loss only now.
Session::Step Session::lost_step(Input& in, size_t total) {
  const std::string_view rest = in.rest();
  const char tag = rest[0];
  if (rest.size() < total && total <= kMaxWhole && tag != fe::kFunctionCall) return Step::kMore;
  const std::string_view message = rest.substr(0, std::min(total, rest.size()));
  if (tag == fe::kQuery) return refuse_in_lost(in, total, look_at(query_text(message)).verdict);
  bool complete = false;
  if (tag == fe::kParse) {
    const std::string_view name = read_c_string(message, pgwire::kHeaderSize, complete);
    const std::string_view text = message.substr(std::min(message.size(), pgwire::kHeaderSize + name.size() + 1));
    return refuse_in_lost(in, total, look_at(text.substr(0, text.find('\0'))).verdict);
  }
  if (tag == fe::kBind) {
    const std::string_view portal = read_c_string(message, pgwire::kHeaderSize, complete);
    const std::string_view name = read_c_string(message, pgwire::kHeaderSize + portal.size() + 1, complete);
    return refuse_in_lost(in, total, complete ? look_at_statement(name).verdict : nullptr);
  }
  if (tag == fe::kClose) {  // never refused; there are no portals any more
    static constexpr std::string_view kCloseComplete("3\0\0\0\4", 5);
    const bool statement = message.size() > pgwire::kHeaderSize && message[pgwire::kHeaderSize] == 'S';
    const std::string_view name = read_c_string(message, pgwire::kHeaderSize + 1, complete);
    if (statement && complete) statements_.erase(std::string(name));
    last_text_ = nullptr;
    drop(in, total);
    send_client(kCloseComplete);
    return Step::kOn;
  }
  return refuse_in_lost(in, total, nullptr);
}

Session::Step Session::refuse_in_lost(Input& in, size_t total, const sql::Verdict* verdict) {
  const bool one = verdict != nullptr && verdict->parsed && verdict->statements == 1;
  const bool chain = one && lower(last_look_.text).find("chain") != std::string::npos;
  const bool is_query = in.rest()[0] == fe::kQuery;
  if (one && !chain && verdict->transaction == sql::Transaction::kRollback) {
    lost_.clear();
    if (!is_query) return Step::kOn;  // to a server: where there is no transaction it does nothing
    drop(in, total);
    std::string bytes;
    pgwire::encode(bytes, pgwire::CommandComplete{"ROLLBACK"});
    send_client(bytes);
    send_ready();
    return Step::kOn;
  }
  if (is_query && verdict != nullptr && verdict->parsed && verdict->statements == 0) {  // as in any failed transaction
    drop(in, total);
    std::string bytes;
    pgwire::encode_empty(bytes, pgwire::be::kEmptyQueryResponse);
    send_client(bytes);
    send_ready();
    return Step::kOn;
  }
  const bool commit = one && !chain && verdict->transaction == sql::Transaction::kCommit;
  if (commit || !lost_told_) {
    send_error(sqlstate::kSerializationFailure, "the transaction was rolled back: its server is gone",
               "Nothing of it was committed: run it again, on this connection. It ended so: " + lost_);
  } else {
    send_error(sqlstate::kFailedTransaction,
               "current transaction is aborted, commands ignored until end of transaction block",
               "Its server is gone: " + lost_);
  }
  lost_told_ = true;
  if (commit) lost_.clear();
  if (is_query || in.rest()[0] == fe::kFunctionCall) {
    drop(in, total);
    send_ready();
  } else {
    skipping_ = true;
  }
  return Step::kOn;
}

// New work waits for a primary, but not for ever.
void Session::hold_or_not(const NodeView* node) {
  const auto limit = context_.pool_settings.primary_wait_timeout;
  if (node != nullptr || context_.topology->primary() != nullptr) {
    held_until_.reset();
  } else if (!held_until_) {
    held_until_ = limit.count() > 0 ? Deadline::after(limit) : Deadline::never();
  }
}

// It may be silent, or go on as if nothing had happened.
bool Session::is_at_former_primary() const {
  if (server_ == nullptr || dedicated_ || routed_replica_ || state_ != State::kReady) return false;
  const NodeView* primary = context_.topology->primary();
  if (primary != nullptr) return primary->name != server_->node().name;
  const NodeView* node = context_.topology->find(server_->node().name);
  return node != nullptr && node->refused;
}

void Session::waited_too_long() {
  if (is_kept_back()) return kept_back_too_long();
  const bool was_queued = queued_;
  if (queued_) pool_->forget(*this);
  queued_ = false;
  std::string detail = context_.topology->describe();
  if (pool_ != nullptr && !pool_->last_failure().empty()) detail = pool_->last_failure() + "; " + detail;
  std::string no_primary = "the primary server is drained";
  if (context_.topology->primary() == nullptr) {
    no_primary = "no primary server can be reached";
    if (held_until_ && held_until_->expired()) {
      detail = "It was waited for; primary_wait_timeout is " +
               std::to_string(context_.pool_settings.primary_wait_timeout.count()) + " ms; " + detail;
    }
  }
  if (state_ == State::kGreeting) {
    return fail(sqlstate::kCannotConnectNow, no_primary, detail);
  }
  if (was_queued) {
    skip_request(sqlstate::kTooManyConnections, "no server became free in time",
                 "All servers of the pool are in use. query_wait_timeout is " +
                     std::to_string(context_.pool_settings.query_wait_timeout.count()) + " ms, pool_size is " +
                     std::to_string(pool_->limits().pool_size) + "; " + detail);
  } else {
    skip_request(sqlstate::kCannotConnectNow, no_primary, detail);
  }
}

}  // namespace pgb::proxy
