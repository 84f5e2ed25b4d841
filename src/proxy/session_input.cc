// What a client sends once it is logged in: each message is looked at, routed where a transaction begins, rewritten
// where it names a prepared statement, and else passed on as it came, in as few pieces as can be.
#include <algorithm>

#include "pgwire/error_response.h"
#include "pgwire/messages.h"
#include "proxy/session.h"
#include "sql/normalize.h"

namespace pgb::proxy {
namespace {

namespace fe = pgwire::fe;
namespace sqlstate = pgwire::sqlstate;
using IoKind = net::IoResult::Kind;
using Kind = Expectation::Kind;
using EffectKind = sql::Effect::Kind;

constexpr size_t kMaxBacklog = 10'000;     // answers that a server owes before we read no more for it
constexpr int kMaxReads = 16;              // in one go, so that one busy client does not starve the others
constexpr size_t kMaxWhole = 1024 * 1024;  // of a message that is looked into
constexpr size_t kMaxBatch = 64 * 1024;    // of a request that is looked at up to its end before it is routed
constexpr size_t kMaxLogged = 300;         // bytes of a statement in the log
constexpr size_t kMaxNames = 4096;         // the two names at the front of a Bind

uint32_t word(std::string_view bytes, size_t at) {
  const auto byte = [&](size_t i) { return static_cast<uint32_t>(static_cast<uint8_t>(bytes[at + i])); };
  return byte(0) << 24 | byte(1) << 16 | byte(2) << 8 | byte(3);
}

void put_word(std::string& out, size_t value) {
  for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>(value >> shift & 0xff);
}

// Up to the next zero byte from `at` on; npos: there is none.
std::string_view c_string(std::string_view bytes, size_t at, bool& complete) {
  const size_t end = at <= bytes.size() ? bytes.find('\0', at) : std::string_view::npos;
  complete = end != std::string_view::npos;
  return complete ? bytes.substr(at, end - at) : std::string_view();
}

bool is_only_session_state(const sql::Verdict& verdict) {
  if (verdict.effects.empty()) return false;
  return std::all_of(verdict.effects.begin(), verdict.effects.end(), [](const sql::Effect& effect) {
    return effect.kind != EffectKind::kUnknown && effect.kind != EffectKind::kTempObject;
  });
}

void append_parse(std::string& out, std::string_view name, std::string_view body) {
  out += fe::kParse;
  put_word(out, 4 + name.size() + 1 + body.size());
  out += name;
  out += '\0';
  out += body;
}

}  // namespace

void Session::read_client() {
  auto& scratch = context_.scratch;
  for (int i = 0; i < kMaxReads; ++i) {
    if (state_ != State::kReady || choked()) return;
    const net::IoResult got = client_.stream->read(scratch.data(), scratch.size());
    if (got.kind == IoKind::kWait) return;
    if (got.kind != IoKind::kDone) return hung_up();
    context_.stats.bytes_from_clients += got.count;
    last_active_ = context_.loop.now();
    const std::string_view bytes(scratch.data(), got.count);
    if (in_.empty()) {
      const size_t used = process(bytes);
      if (state_ != State::kReady) return;
      if (used < bytes.size()) in_.append(bytes.substr(used));
    } else {
      in_.append(bytes);
      resume();
    }
    if (got.count < scratch.size() && !client_.stream->encrypted()) return;  // that was all there is
    if (waiting_ && in_.size() >= kMaxBatch) return;
  }
}

// A client that said goodbye behind a request that is still to be done is waited for; one that is simply gone is not.
void Session::hung_up() {
  constexpr std::string_view kGoodbye("X\0\0\0\4", 5);
  const std::string_view kept = in_.view();
  const bool goodbye = kept.size() >= kGoodbye.size() && kept.substr(kept.size() - kGoodbye.size()) == kGoodbye;
  if (!leaving_ && !(waiting_ && goodbye)) return end();
  gone_ = true;
}

// The client does not take what it is owed, or the server is behind with answers: nothing more is looked at.
bool Session::choked() const {
  return client_.congested() || (server_ != nullptr && (server_->congested() || server_->backlog() > kMaxBacklog));
}

// Goes on with what was kept.
void Session::resume() {
  if (processing_ || state_ != State::kReady || waiting_ || in_.empty() || choked()) return;
  const size_t used = process(in_.view());
  if (state_ == State::kReady) in_.consume(used);
}

// How many of the bytes are dealt with; the rest must come again, with what follows.
size_t Session::process(std::string_view bytes) {
  processing_ = true;
  last_text_ = nullptr;
  Input in{bytes, 0, 0};
  Step how = Step::kOn;
  while (how == Step::kOn && state_ == State::kReady && in.at < bytes.size() && !choked()) how = step(in);
  processing_ = false;
  if (state_ != State::kReady) return bytes.size();
  if (server_ != nullptr) {
    if (in.at > in.sent) server_->send(bytes.substr(in.sent, in.at - in.sent));
    server_->flush();
    if (std::exchange(flush_asked_, false) || server_->backlog() > kMaxBacklog) server_->local_answers();
  }
  return in.at;
}

void Session::pass_on(Input& in, size_t total) {
  const size_t here = std::min(total, in.rest().size());
  in.at += here;
  body_left_ = total - here;
  body_goes_ = true;
}

void Session::drop(Input& in, size_t total) {
  put(in, {}, total);
  body_goes_ = false;
}

// Something else goes to the server in place of the next `total` bytes.
void Session::put(Input& in, std::string_view instead, size_t total) {
  if (server_ != nullptr) {
    if (in.at > in.sent) server_->append(in.bytes.substr(in.sent, in.at - in.sent));
    server_->append(instead);
  }
  const size_t here = std::min(total, in.rest().size());
  in.at += here;
  in.sent = in.at;
  body_left_ = total - here;
  body_goes_ = true;
}

Session::Step Session::step(Input& in) {
  if (body_left_ > 0) {
    const size_t here = std::min(body_left_, in.rest().size());
    in.at += here;
    body_left_ -= here;
    if (!body_goes_ || server_ == nullptr) in.sent = in.at;
    return Step::kOn;
  }
  if (waiting_) return Step::kWait;
  if (in.rest().size() < pgwire::kHeaderSize) return Step::kMore;
  const uint32_t length = word(in.rest(), 1);
  if (length < 4 || length > pgwire::kMaxBody) {
    fail(sqlstate::kProtocolViolation, "invalid message length", "message type " + std::to_string(in.rest()[0]));
    return Step::kOn;
  }
  const size_t total = size_t{length} + 1;
  if (skipping_) return skip_step(in, total);
  const size_t before = in.at;
  const Step ready = server_ == nullptr ? begin(in, total) : boundary(in, total);
  if (ready != Step::kOn || in.at != before || state_ != State::kReady || skipping_) return ready;
  return forward(in, total);
}

// The server is there: one message on its way.
Session::Step Session::forward(Input& in, size_t total) {
  const std::string_view message = in.rest().substr(0, std::min(total, in.rest().size()));
  switch (message[0]) {
    case fe::kQuery: return query(in, message, total);
    case fe::kParse: return parse(in, message, total);
    case fe::kBind: return bind(in, message, total);
    case fe::kDescribe:
    case fe::kClose: return describe_or_close(in, message, total);
    case fe::kExecute: server_->expect({Kind::kExecute, 0}); break;
    case fe::kFlush: flush_asked_ = true; break;
    case fe::kSync: server_->expect({Kind::kSync, 0}); break;
    case fe::kFunctionCall:
      server_->expect({Kind::kQuery, 0});
      wrote_ = true;
      break;
    case fe::kCopyData: pass_on(in, total); return Step::kOn;
    case fe::kCopyDone:
    case fe::kCopyFail:
      if (!server_->quiet()) server_->expect({Kind::kCopyEnd, 0});
      pass_on(in, total);
      return Step::kOn;
    case fe::kTerminate: return terminate(in, total);
    default:
      fail(sqlstate::kProtocolViolation, "invalid frontend message type " + std::to_string(message[0]));
      return Step::kOn;
  }
  batch_start_ = message[0] == fe::kSync || message[0] == fe::kFunctionCall;
  pass_on(in, total);
  return Step::kOn;
}

// A goodbye right behind a request: the server does what it was asked for, then the session ends.
Session::Step Session::terminate(Input& in, size_t total) {
  if (!server_->owes_client() && in.at == in.sent) {
    end();
    return Step::kOn;
  }
  put(in, {}, total);
  if (!batch_start_) {  // without its Sync it comes to nothing
    end();
    return Step::kOn;
  }
  leaving_ = waiting_ = waiting_quiet_ = true;
  wait_until_ = Deadline::never();
  return Step::kWait;
}

bool Session::pooled() const { return !dedicated_ && context_.pool_settings.mode != PoolMode::kSession; }

// No server yet: what needs none is answered at once, for all else one is borrowed.
Session::Step Session::begin(Input& in, size_t total) {
  const std::string_view rest = in.rest();
  Look look;
  std::string refusal;
  switch (rest[0]) {
    case fe::kTerminate: end(); return Step::kOn;
    case fe::kSync:
      drop(in, total);
      send_ready();
      return Step::kOn;
    case fe::kFlush:
    case fe::kCopyData:
    case fe::kCopyDone:
    case fe::kCopyFail: drop(in, total); return Step::kOn;  // as a server that copies nothing would
    case fe::kQuery:
      if (rest.size() < total && total <= kMaxWhole) return Step::kMore;
      if (rest.size() >= total) {
        look = look_at(query_text(rest.substr(0, total)));
        if (deallocate(*look.verdict)) {
          drop(in, total);
          send_ready();
          return Step::kOn;
        }
        if (refused_by_mode(refusal_by_mode(*look.verdict))) return Step::kOn;
        if (show_route(query_text(rest.substr(0, total)))) {
          drop(in, total);
          send_ready();
          return Step::kOn;
        }
      }
      break;
    case fe::kParse:
    case fe::kBind:
    case fe::kDescribe:
    case fe::kClose:
    case fe::kExecute:
      if (!look_at_batch(rest, look, refusal)) return Step::kMore;
      if (refused_by_mode(refusal)) return Step::kOn;
      break;
    case fe::kFunctionCall: break;
    default:
      fail(sqlstate::kProtocolViolation, "invalid frontend message type " + std::to_string(rest[0]));
      return Step::kOn;
  }
  if (context_.pool_settings.log_slow_queries.count() > 0) note_text(rest, total);
  return acquire(look);
}

// For the log of slow queries: without its literals, which may be secrets.
void Session::note_text(std::string_view rest, size_t total) {
  const bool shown =
      rest[0] == fe::kQuery && rest.size() >= total && sql::normalize(query_text(rest.substr(0, total)), slow_text_);
  if (!shown) slow_text_.clear();
  if (slow_text_.size() > kMaxLogged) slow_text_.resize(kMaxLogged);
}

// A new request while the last one's server is still there. A replica may go on only with reads.
Session::Step Session::boundary(Input& in, size_t total) {
  if (!batch_start_ || !pooled() || !routed_replica_) return Step::kOn;
  const std::string_view rest = in.rest();
  Look look;
  std::string refusal;
  switch (rest[0]) {
    case fe::kQuery:
      if (rest.size() < total && total <= kMaxWhole) return Step::kMore;
      if (rest.size() >= total) look = look_at(query_text(rest.substr(0, total)));
      break;
    case fe::kParse:
    case fe::kBind:
    case fe::kDescribe:
    case fe::kClose:
    case fe::kExecute:
      if (!look_at_batch(rest, look, refusal)) return Step::kMore;
      break;
    case fe::kFunctionCall: break;
    default: return Step::kOn;
  }
  const bool in_transaction = server_->quiet() && server_->status() != pgwire::TxnStatus::kIdle;
  if (look.replica || in_transaction || !pinned_.empty()) return Step::kOn;
  waiting_ = waiting_quiet_ = true;
  wait_until_ = Deadline::never();
  return Step::kWait;
}

// Whether all there is of a request is here, up to its Sync; then `look` says where the whole of it may go.
bool Session::look_at_batch(std::string_view bytes, Look& look, std::string& refusal) {
  bool replica = true;
  size_t at = 0;
  while (bytes.size() - at >= pgwire::kHeaderSize) {
    const std::string_view rest = bytes.substr(at);
    const size_t total = size_t{word(rest, 1)} + 1;
    if (total < pgwire::kHeaderSize) break;
    const char tag = rest[0];
    if (tag == fe::kSync) {
      look.replica = replica;
      return true;
    }
    // What comes after a Flush is not known when the first part must go.
    if (tag == fe::kFlush || tag == fe::kQuery || tag == fe::kFunctionCall || tag == fe::kTerminate) return true;
    if (rest.size() < total) break;
    const std::string_view body = rest.substr(pgwire::kHeaderSize, total - pgwire::kHeaderSize);
    bool complete = true;
    if (tag == fe::kParse) {
      const std::string_view name = c_string(body, 0, complete);
      const std::string_view text = complete ? c_string(body, name.size() + 1, complete) : name;
      const Look of_text = look_at(text);
      if (refusal.empty()) refusal = refusal_by_mode(*of_text.verdict);
      replica = complete && replica && of_text.replica;
    } else if (tag == fe::kBind) {
      const std::string_view portal = c_string(body, 0, complete);
      const std::string_view name = complete ? c_string(body, portal.size() + 1, complete) : portal;
      // A statement of this very request was looked at when it was parsed.
      const bool known = name.empty() ? unnamed_ != 0 : statements_.count(std::string(name)) != 0;
      replica = complete && replica && (!known || look_at_statement(name).replica);
    }
    at += total;
  }
  return bytes.size() >= kMaxBatch;  // too much to wait for its end: to the primary
}

std::string_view Session::query_text(std::string_view message) const {
  bool complete = false;
  const std::string_view text = c_string(message, pgwire::kHeaderSize, complete);
  return complete ? text : message.substr(pgwire::kHeaderSize);
}

Look Session::look_at(std::string_view text) {
  if (text.data() == last_text_ && text.size() == last_size_) return last_look_;
  const auto strings = parameters_->find("standard_conforming_strings");
  last_look_ = context_.router->look(text, database(), strings == parameters_->end() || strings->second == "on");
  last_text_ = text.data();
  last_size_ = text.size();
  return last_look_;
}

Look Session::look_at_statement(std::string_view name) {
  if (name.empty()) return look_at(std::string_view(unnamed_body_).substr(0, unnamed_body_.find('\0')));
  const auto found = statements_.find(std::string(name));
  return look_at(found == statements_.end() ? std::string_view() : found->second.prepared->text());
}

void Session::send_ready() {
  const char status = server_ == nullptr ? 'I' : static_cast<char>(server_->status());
  const char bytes[] = {pgwire::be::kReadyForQuery, 0, 0, 0, 5, status};
  send_client(std::string_view(bytes, sizeof bytes));
}

// DEALLOCATE of a statement that was prepared by message: servers know it under another name, and others use it.
bool Session::deallocate(const sql::Verdict& verdict) {
  if (verdict.statements != 1 || verdict.effects.size() != 1) return false;
  const sql::Effect& effect = verdict.effects[0];
  if (effect.kind != EffectKind::kDeallocate) return false;
  const bool all = effect.name.empty();
  if (all ? !pinned_.empty() : statements_.erase(effect.name) == 0) return false;
  if (all) statements_.clear();
  std::string bytes;
  pgwire::encode(bytes, pgwire::CommandComplete{all ? "DEALLOCATE ALL" : "DEALLOCATE"});
  send_client(bytes);
  return true;
}

// SHOW pgbalancer.route: where the last request of this session went, and why.
bool Session::show_route(std::string_view text) {
  constexpr std::string_view kShow = "show pgbalancer.route";
  if (text.size() < kShow.size() || text.size() > kShow.size() + 2 || lower(text.substr(0, kShow.size())) != kShow) {
    return false;
  }
  pgwire::RowDescription columns;
  for (const char* name : {"node", "reason"}) {
    pgwire::FieldDescription field;
    field.name = name;
    columns.fields.push_back(field);
  }
  std::string bytes;
  pgwire::encode(bytes, columns);
  pgwire::encode(bytes, pgwire::DataRow{{route_node_, route_reason_}});
  pgwire::encode(bytes, pgwire::CommandComplete{"SHOW"});
  send_client(bytes);
  return true;
}

std::string Session::refusal_by_mode(const sql::Verdict& verdict) const {
  if (context_.pool_settings.mode != PoolMode::kStatement || !verdict.parsed) return {};
  std::string what;
  if (verdict.transaction != sql::Transaction::kNone) what = "transactions are";
  for (const sql::Effect& effect : verdict.effects) {
    if (what.empty() && !effect.local && effect.kind != EffectKind::kDeallocate) what = "session state is";
  }
  return what;
}

bool Session::refused_by_mode(const std::string& refusal) {
  if (refusal.empty()) return false;
  skip_request(sqlstate::kFeatureNotSupported, refusal + " not possible with pool_mode \"statement\"",
               "Each statement may go to another server. Use pool_mode \"transaction\" or \"session\".");
  return true;
}

void Session::note_effects(const Look& look) {
  const sql::Verdict& verdict = *look.verdict;
  const bool only_control = verdict.transaction != sql::Transaction::kNone && verdict.statements == 1;
  const bool reads = verdict.read && !look.may_do_anything;
  if (!reads && !only_control && !is_only_session_state(verdict)) wrote_ = true;
  if (look.may_do_anything) truth_needed_ = server_->tainted = true;
  if (verdict.changes_catalog) {
    catalog_changed_ = true;
    ++context_.shared.counters.catalog_changes;
  }
  // What the server was kept for may be gone after it.
  if (!pinned_.empty() && (verdict.changes_catalog || (pinned_ == kHeldCursor && !verdict.read))) truth_needed_ = true;
  for (const sql::Effect& effect : verdict.effects) note_effect(effect);
}

void Session::note_effect(const sql::Effect& effect) {
  switch (effect.kind) {
    case EffectKind::kSet:
      if (effect.local) return;
      if (effect.name.find('.') != std::string::npos &&
          std::find(custom_names_.begin(), custom_names_.end(), effect.name) == custom_names_.end()) {
        custom_names_.push_back(effect.name);
      }
      break;
    case EffectKind::kSetTransaction:
      if (effect.local) return;
      break;
    case EffectKind::kReset: reset_names_.push_back(lower(effect.name)); break;
    case EffectKind::kResetAll: reset_all_ = true; break;
    case EffectKind::kUnknown: server_->tainted = true; break;
    case EffectKind::kLoad: sticky_pin_ = "it loaded a library"; break;
    case EffectKind::kSequenceState: sticky_pin_ = "it asks for a sequence's last value"; break;
    case EffectKind::kDiscard:
      if (effect.value == "ALL" || effect.value == "SEQUENCES") sticky_pin_.clear();
      if (effect.value == "ALL") {
        reset_all_ = true;
        statements_.clear();
        unnamed_ = 0;
        server_->forget_all();
      }
      break;
    case EffectKind::kDeallocate:
      if (!effect.name.empty()) break;
      statements_.clear();
      server_->forget_all();
      break;
    default: break;
  }
  truth_needed_ = true;
}

Session::Step Session::query(Input& in, std::string_view message, size_t total) {
  if (pooled()) {
    if (message.size() < total && total <= kMaxWhole) return Step::kMore;
    if (message.size() >= total) {
      const Look look = look_at(query_text(message));
      if (server_->quiet() && deallocate(*look.verdict)) {
        drop(in, total);
        send_ready();
        return Step::kOn;
      }
      note_effects(look);
    } else {
      truth_needed_ = wrote_ = server_->tainted =
          true;  // too long to be looked at: the server will say what came of it
    }
    unnamed_ = 0;
  }
  server_->unnamed = 0;
  server_->expect({Kind::kQuery, 0});
  batch_start_ = true;
  pass_on(in, total);
  return Step::kOn;
}

Session::Step Session::parse(Input& in, std::string_view message, size_t total) {
  if (message.size() < total && total <= kMaxWhole) return Step::kMore;
  batch_start_ = false;
  bool complete = false;
  const std::string_view name = c_string(message, pgwire::kHeaderSize, complete);
  const bool untracked = !name.empty() && context_.pool_settings.max_prepared == 0;
  if (!pooled() || untracked || !complete || message.size() < total) {
    if (pooled() && !untracked) truth_needed_ = wrote_ = server_->tainted = true;
    if (pooled() && complete && name.empty()) unnamed_ = 0;
    server_->unnamed = 0;
    server_->expect({Kind::kParse, 0});
    pass_on(in, total);
    return Step::kOn;
  }
  const std::string_view body = message.substr(pgwire::kHeaderSize + name.size() + 1);
  if (context_.pool_settings.mode == PoolMode::kStatement) {  // after a Flush: nobody saw it coming
    const std::string refusal = refusal_by_mode(*look_at(body.substr(0, body.find('\0'))).verdict);
    if (!refusal.empty()) {
      fail(sqlstate::kFeatureNotSupported, refusal + " not possible with pool_mode \"statement\"");
      return Step::kOn;
    }
  }
  if (name.empty()) {
    unnamed_body_.assign(body);
    unnamed_ = ++context_.unnamed_texts;
    server_->expect({Kind::kParse, 0});
    server_->unnamed = server_->skipping() ? 0 : unnamed_;
    pass_on(in, total);
    return Step::kOn;
  }
  if (const auto known = statements_.find(std::string(name)); known != statements_.end() && is_confirmed(name)) {
    // The server shall say that there is one of that name.
    std::string& again = context_.text;
    again.clear();
    ensure_prepared(known->second.prepared, again);
    server_->name_of(known->second.prepared->id, context_.name);
    append_parse(again, context_.name, body);
    server_->expect({Kind::kParse, 0});
    put(in, again, total);
    return Step::kOn;
  }
  PreparedPtr statement = context_.prepared.intern(body, context_.shared.counters.catalog_changes);
  std::string key(name);
  statements_[key] = {statement};
  unconfirmed_.push_back(std::move(key));
  if (server_->has(statement->id)) {
    server_->touch(statement->id);
    server_->expect({Kind::kParseLocal, statement->id});
    drop(in, total);
    return Step::kOn;
  }
  std::string& out = context_.text;
  out.clear();
  make_room(out);
  std::string called;
  server_->name_of(statement->id, called);
  append_parse(out, called, statement->body);
  server_->expect({Kind::kParse, statement->id});
  if (!server_->skipping()) server_->touch(statement->id);
  ++context_.stats.server_parses;
  put(in, out, total);
  return Step::kOn;
}

bool Session::is_confirmed(std::string_view statement) const {
  return std::find(unconfirmed_.begin(), unconfirmed_.end(), statement) == unconfirmed_.end();
}

// One more statement on the server: the one not used for longest goes when there are too many.
void Session::make_room(std::string& out) {
  const unsigned most = std::max(1u, context_.pool_settings.max_prepared);
  if (server_->prepared() < most || server_->skipping()) return;
  const uint64_t victim = server_->least_used();
  std::string called;
  server_->name_of(victim, called);
  out += fe::kClose;
  put_word(out, 4 + 1 + called.size() + 1);
  out += 'S';
  out += called;
  out += '\0';
  server_->expect({Kind::kCloseOurs, victim});
  server_->forget(victim);
}

void Session::ensure_prepared(const PreparedPtr& statement, std::string& out) {
  if (server_->has(statement->id)) return server_->touch(statement->id);
  make_room(out);
  std::string called;
  server_->name_of(statement->id, called);
  append_parse(out, called, statement->body);
  server_->expect({Kind::kParseOurs, statement->id});
  if (!server_->skipping()) server_->touch(statement->id);
  ++context_.stats.server_parses;
}

Session::Step Session::bind(Input& in, std::string_view message, size_t total) {
  bool complete = false;
  const std::string_view portal = c_string(message, pgwire::kHeaderSize, complete);
  const size_t name_at = pgwire::kHeaderSize + portal.size() + 1;
  const std::string_view name = complete ? c_string(message, name_at, complete) : std::string_view();
  if (!complete) {
    if (message.size() < total && message.size() < kMaxNames) return Step::kMore;
    fail(sqlstate::kProtocolViolation, "invalid string in message");
    return Step::kOn;
  }
  batch_start_ = false;
  const auto found = name.empty() || !pooled() ? statements_.end() : statements_.find(std::string(name));
  if (pooled() && (name.empty() ? unnamed_ != 0 : found != statements_.end())) note_effects(look_at_statement(name));
  std::string& out = context_.text;
  out.clear();
  if (name.empty() && pooled() && unnamed_ != 0 && server_->unnamed != unnamed_) {
    append_parse(out, {}, unnamed_body_);
    server_->expect({Kind::kParseOurs, 0});
    if (!server_->skipping()) server_->unnamed = unnamed_;
    put(in, out, 0);
  }
  if (found == statements_.end()) {  // the unnamed one, or one made by PREPARE on this very server
    server_->expect({Kind::kBind, 0});
    pass_on(in, total);
    return Step::kOn;
  }
  ensure_prepared(found->second.prepared, out);
  server_->expect({Kind::kBind, 0});
  std::string& called = context_.name;
  server_->name_of(found->second.prepared->id, called);
  const size_t front = name_at + name.size() + 1;  // of the message: up to the end of the names
  out += fe::kBind;
  put_word(out, total - 1 - name.size() + called.size());
  out.append(portal);
  out += '\0';
  out += called;
  out += '\0';
  put(in, out, front);
  pass_on(in, total - front);
  return Step::kOn;
}

Session::Step Session::describe_or_close(Input& in, std::string_view message, size_t total) {
  if (message.size() < total && total <= kMaxNames) return Step::kMore;
  if (message.size() < total || total < pgwire::kHeaderSize + 2) {
    fail(sqlstate::kProtocolViolation, "invalid string in message");
    return Step::kOn;
  }
  batch_start_ = false;
  const bool close = message[0] == fe::kClose;
  bool complete = false;
  const std::string_view name = c_string(message, pgwire::kHeaderSize + 1, complete);
  const bool statement = message[pgwire::kHeaderSize] == 'S' && pooled();
  const auto found = statement && !name.empty() ? statements_.find(std::string(name)) : statements_.end();
  if (close && found != statements_.end()) {
    statements_.erase(found);
    server_->expect({Kind::kCloseLocal, 0});
    drop(in, total);
    return Step::kOn;
  }
  std::string& out = context_.text;
  out.clear();
  if (statement && name.empty()) {
    if (close) {
      unnamed_ = server_->unnamed = 0;
    } else if (unnamed_ != 0 && server_->unnamed != unnamed_) {
      append_parse(out, {}, unnamed_body_);
      server_->expect({Kind::kParseOurs, 0});
      if (!server_->skipping()) server_->unnamed = unnamed_;
      put(in, out, 0);
    }
  }
  if (found == statements_.end()) {
    server_->expect({close ? Kind::kClose : Kind::kDescribe, 0});
    pass_on(in, total);
    return Step::kOn;
  }
  ensure_prepared(found->second.prepared, out);
  server_->expect({Kind::kDescribe, 0});
  std::string& called = context_.name;
  server_->name_of(found->second.prepared->id, called);
  out += fe::kDescribe;
  put_word(out, 4 + 1 + called.size() + 1);
  out += 'S';
  out += called;
  out += '\0';
  put(in, out, total);
  return Step::kOn;
}

// The request that waits is answered with an error and dropped up to its end; the session goes on.
void Session::skip_request(std::string_view sqlstate, const std::string& message, const std::string& detail) {
  if (queued_) pool_->forget(*this);
  queued_ = waiting_ = false;
  pgwire::ErrorResponse error;
  error.sqlstate = sqlstate;
  error.message = message;
  error.detail = detail;
  std::string bytes;
  pgwire::encode(bytes, error);
  send_client(bytes);
  skipping_ = true;
  if (!in_.empty()) resume();
}

Session::Step Session::skip_step(Input& in, size_t total) {
  const char tag = in.rest()[0];
  if (tag == fe::kTerminate) {
    end();
    return Step::kOn;
  }
  drop(in, total);
  if (tag != fe::kQuery && tag != fe::kFunctionCall && tag != fe::kSync) return Step::kOn;
  skipping_ = false;
  batch_start_ = true;
  send_ready();
  return Step::kOn;
}

}  // namespace pgb::proxy
