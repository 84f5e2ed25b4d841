// Queries and prepared statements on their way to a server: servers know each statement by a name of ours, so that
// sessions share it.
#include "pgwire/error_response.h"
#include "proxy/message_bytes.h"
#include "proxy/session.h"

namespace pgb::proxy {
namespace {

namespace fe = pgwire::fe;
namespace sqlstate = pgwire::sqlstate;
using Kind = Expectation::Kind;

constexpr size_t kMaxNames = 4096;                 // the two names at the front of a Bind
constexpr size_t kMostUnnamed = 16 * 1024 * 1024;  // of an unnamed statement's text that outlives its request
constexpr size_t kUsual = 64 * 1024;               // bytes of it whose memory is kept for the next one
constexpr char kGone[] = "pgbalancer_gone";        // a statement that is there to be deallocated

}  // namespace

// Of what is too long, or too opaque, to be looked at, the server will say what came of it.
void Session::expect_anything() {
  static const sql::Verdict kNotLookedInto;
  Look look;
  look.verdict = &kNotLookedInto;
  look.asks_number = true;
  note_sequences(look, true, batch_start_);
  truth_needed_ = wrote_ = server_->tainted = ends_sent_ = true;
  plain_ = only_reads_ = false;
}

Session::Step Session::query(Input& in, std::string_view message, size_t total) {
  if (pooled()) {
    if (message.size() < total && total <= kMaxWhole) return Step::kMore;
    if (message.size() >= total) {
      const Look look = look_at(query_text(message));
      if (server_->quiet() && answer_ourselves(in, *look.verdict, total)) return Step::kOn;
      if (routed_replica_) note_at_replica(look);
      note_effects(look);
    } else {
      expect_anything();
    }
    unnamed_ = 0;
  } else {
    const bool whole = message.size() >= total;
    const bool waits = server_->quiet() && !dedicated_ && server_->status() != pgwire::TxnStatus::kFailed;
    if (whole && waits && answer_if_asked(in, query_text(message), total)) return Step::kOn;
    if (may_reset_to_its_own()) {
      if (!whole && total <= kMaxWhole) return Step::kMore;
      if (whole) note_effects(look_at(query_text(message)));
    }
  }
  server_->unnamed = 0;
  server_->expect({Kind::kQuery, 0});
  batch_start_ = true;
  pass_on(in, total);
  return Step::kOn;
}

Session::Step Session::parse(Input& in, std::string_view message, size_t total) {
  if (message.size() < total && total <= kMaxWhole) return Step::kMore;
  bool complete = false;
  const std::string_view name = read_c_string(message, pgwire::kHeaderSize, complete);
  if (!complete && message.size() < std::min(total, kMaxNames)) return Step::kMore;
  const bool first = std::exchange(batch_start_, false);
  ++pool_->traffic.client_parses;
  const bool untracked = !name.empty() && context_.pool_settings.max_prepared == 0;
  if (!pooled() || untracked || !complete || message.size() < total) {
    return parse_as_it_is(in, message, complete ? &name : nullptr, total, first);
  }
  const std::string_view body = message.substr(pgwire::kHeaderSize + name.size() + 1);
  if (unjudged_ && refuses_unseen(look_at(body.substr(0, body.find('\0'))))) return Step::kOn;
  note_sequences(look_at(body.substr(0, body.find('\0'))), first);
  if (mode_ == PoolMode::kStatement) {  // after a Flush: nobody saw it coming
    const std::string refusal = refusal_by_mode(*look_at(body.substr(0, body.find('\0'))).verdict);
    if (!refusal.empty()) {
      fail(sqlstate::kFeatureNotSupported, refusal + " not possible with pool_mode \"statement\"");
      return Step::kOn;
    }
  }
  if (name.empty()) {
    const uint32_t change = note_change(name);
    keep_unnamed(body);
    unnamed_ = ++context_.unnamed_texts;
    const bool deallocates = parse_deallocate(in, total);
    server_->unnamed = server_->skipping() ? 0 : unnamed_;
    server_->expect({Kind::kParse, 0, change});
    if (!deallocates) pass_on(in, total);
    return Step::kOn;
  }
  if (const auto known = statements_.find(name); known != statements_.end() && is_confirmed(name)) {
    context_.text.clear();
    const PreparedStatement& there = ensure_prepared(known->second, context_.text);
    parse_again(in, there, name, total, 0);
    return Step::kOn;
  }
  const PreparedPtr statement = statement_for(body);
  const uint32_t change = note_change(name);
  statements_[std::string(name)] = {statement};
  if (server_->has(statement->id) && refuses(*statement)) {  // it shall say so itself, before it looks at the name
    context_.text.clear();
    parse_again(in, *statement, name, total, change);
    return Step::kOn;
  }
  if (server_->has(statement->id)) {
    server_->touch(statement->id);
    server_->expect({Kind::kParseLocal, statement->id, change});
    drop(in, total);
    return Step::kOn;
  }
  std::string& out = context_.text;
  out.clear();
  prepare(*statement, Kind::kParse, out, change);
  put(in, out, total);
  return Step::kOn;
}

// The message as it is, but under the name that the server knows `statement` by: the server shall say itself that there
// is one. What goes before it is in context_.text.
void Session::parse_again(Input& in, const PreparedStatement& statement, std::string_view name, size_t total,
                          uint32_t change) {
  std::string& called = context_.name;
  server_->name_of(statement.id, called);
  std::string& out = context_.text;
  out += fe::kParse;
  append_word(out, total - 1 - name.size() + called.size());
  out += called;
  out += '\0';
  server_->expect({Kind::kParse, 0, change});
  const size_t front = pgwire::kHeaderSize + name.size() + 1;  // of the message: up to the end of the name
  put(in, out, front);
  pass_on(in, total - front);
}

// One whose statement gets no name of ours: it is too long to be looked at, or nobody keeps track of it. `name` null:
// it has none that one could read.
Session::Step Session::parse_as_it_is(Input& in, std::string_view message, const std::string_view* name, size_t total,
                                      bool first) {
  const bool whole = message.size() >= total;
  const std::string_view body =
      name == nullptr ? std::string_view() : message.substr(pgwire::kHeaderSize + name->size() + 1);
  uint32_t change = 0;
  if (whole && name != nullptr && (pooled() || may_reset_to_its_own())) {
    const Look look = look_at(body.substr(0, body.find('\0')));
    if (unjudged_ && refuses_unseen(look)) return Step::kOn;
    if (pooled()) note_sequences(look, first);
    note_effects(look);  // what the name stands for when it is executed nobody will know
  } else if (pooled()) {
    expect_anything();
    if (name != nullptr && name->empty()) {
      change = note_change({});
      begin_unnamed(body, total);
    } else if (const auto known = name == nullptr ? statements_.end() : statements_.find(*name);
               known != statements_.end() && is_confirmed(*name)) {
      context_.text.clear();
      const PreparedStatement& there = ensure_prepared(known->second, context_.text);
      parse_again(in, there, *name, total, 0);
      return Step::kOn;
    } else {
      // Others that come to this server must not find it there.
      sticky_pin_ = "it has a prepared statement that is too long for another server";
    }
  }
  server_->unnamed = change == 0 || server_->skipping() ? 0 : unnamed_;
  plain_ = only_reads_ = false;
  server_->expect({Kind::kParse, 0, change});
  pass_on(in, total);
  keeps_unnamed_ = keeps_unnamed_ && body_left_ > 0;
  return Step::kOn;
}

// Of one that comes in pieces; the others are added as they pass, see step(). Above a limit nothing is kept: then it is
// there up to the end of its request, on the server that has it.
void Session::begin_unnamed(std::string_view body, size_t total) {
  unnamed_ = ++context_.unnamed_texts;
  last_text_ = nullptr;
  keeps_unnamed_ = total <= kMostUnnamed;
  std::string().swap(unnamed_body_);
  if (keeps_unnamed_) unnamed_body_.reserve(total), unnamed_body_.assign(body);
}

// Its text is not here, or too long to be looked at.
bool Session::is_unnamed_opaque() const { return unnamed_body_.empty() || unnamed_body_.size() > kMaxWhole; }

// The text was looked at a moment ago, where the message has it: what was found holds for the copy.
void Session::keep_unnamed(std::string_view body) {
  if (unnamed_body_.capacity() > kUsual && body.size() <= kUsual) std::string().swap(unnamed_body_);
  keeps_unnamed_ = false;
  unnamed_body_.assign(body);
  const std::string_view text = std::string_view(unnamed_body_).substr(0, last_size_);
  const bool same = last_text_ == body.data() && last_size_ < body.size() && body[last_size_] == '\0';
  last_text_ = same ? text.data() : nullptr;  // it may stand where another one stood
  if (same) last_look_.text = text;
}

// DEALLOCATE of a statement that was prepared by message: servers know it under another name, and others use it. What
// the server deallocates is one made for that. False: the text is another one.
bool Session::parse_deallocate(Input& in, size_t total) {
  const std::string_view body = unnamed_body_;
  const std::string_view text = body.substr(0, body.find('\0'));
  if (server_->skipping()) return false;
  const sql::Verdict& verdict = *look_at(text).verdict;
  const bool alone = verdict.statements == 1 && verdict.effects.size() == 1;
  if (!alone || verdict.effects[0].kind != sql::Effect::Kind::kDeallocate) return false;
  const std::string& name = verdict.effects[0].name;
  if (statements_.count(name) == 0) return false;
  const uint32_t change = note_change(name);
  statements_.erase(name);
  std::string& out = context_.text;
  out.clear();
  append_about_statement(out, fe::kClose, kGone);
  server_->expect({Kind::kCloseOurs, 0, change});
  append_parse(out, kGone, std::string_view("\0\0\0", 3));
  server_->expect({Kind::kParseOurs, 0});
  append_parse(out, {}, std::string("DEALLOCATE ").append(kGone).append(body.substr(text.size())));
  put(in, out, total);
  return true;
}

// In a failed transaction a server parses only what ends it.
bool Session::refuses(const PreparedStatement& statement) {
  if (!server_->has_failed()) return false;
  const sql::Verdict& verdict = *look_at(statement.text()).verdict;
  const bool may_end_it =
      verdict.transaction == sql::Transaction::kCommit || verdict.transaction == sql::Transaction::kRollback ||
      verdict.transaction == sql::Transaction::kSavepoint || verdict.transaction == sql::Transaction::kTwoPhase;
  return verdict.statements > 0 && !may_end_it;
}

// One more statement on the server: the one not used for longest goes when there are too many.
void Session::make_room(std::string& out) {
  const unsigned most = std::max(1u, context_.pool_settings.max_prepared);
  if (server_->prepared() < most || server_->skipping()) return;
  const uint64_t victim = server_->least_used();
  std::string called;
  server_->name_of(victim, called);
  append_about_statement(out, fe::kClose, called);
  server_->expect({Kind::kCloseOurs, victim});
  server_->forget(victim);
}

// What a server makes of a text is shared by those for whom it makes the same of it. While it is not known under which
// parameters it will be parsed, the statement is this session's alone.
PreparedPtr Session::statement_for(std::string_view body) {
  is_read_as_written();  // looks at the session's parameters if they are new
  if (!knows_what_is_set()) return PreparedStatements::alone(body);
  return context_.prepared.intern(body, context_.shared.counters.catalog_changes, parsed_under_);
}

// What the server has for it, or will have by then. Where the server would parse it under other parameters than those
// it was shared for, another one takes its place.
const PreparedStatement& Session::ensure_prepared(ClientStatement& statement, std::string& out) {
  if (server_->touch_known(statement.prepared->id)) return *statement.prepared;
  is_read_as_written();
  if (!knows_what_is_set()) {
    PreparedPtr& lately = statement.lately;
    const bool there = lately && statement.lately_in == transactions_ && server_->touch_known(lately->id);
    if (there) return *lately;
    lately = PreparedStatements::alone(statement.prepared->body);
    statement.lately_in = transactions_;
    prepare(*lately, Kind::kParseOurs, out);
    return *lately;
  }
  if (statement.prepared->under != parsed_under_) {
    statement.prepared = statement_for(statement.prepared->body);
    last_text_ = nullptr;
    if (server_->touch_known(statement.prepared->id)) return *statement.prepared;
  }
  prepare(*statement.prepared, Kind::kParseOurs, out);
  return *statement.prepared;
}

// A Parse of it under the server's name for it.
void Session::prepare(const PreparedStatement& statement, Expectation::Kind kind, std::string& out, uint32_t change) {
  make_room(out);
  parses_ours_ = parses_ours_ || kind == Kind::kParseOurs;
  server_->name_of(statement.id, context_.name);
  append_parse(out, context_.name, statement.body);
  server_->expect({kind, statement.id, change});
  if (!server_->skipping()) server_->touch(statement.id);
  ++context_.stats.server_parses;
  ++pool_->traffic.server_parses;
}

// The server's unnamed statement becomes this session's, or goes if the session has none: it may be another client's.
void Session::ensure_unnamed(Input& in) {
  if (unnamed_ != 0 && server_->unnamed == unnamed_) return;
  if (unnamed_body_.empty()) unnamed_ = 0;  // it was too long to be kept
  parses_ours_ = true;
  std::string& out = context_.text;
  out.clear();
  if (unnamed_ == 0) {
    append_about_statement(out, fe::kClose, {});
    server_->expect({Kind::kCloseOurs, 0});
  } else {
    append_parse(out, {}, unnamed_body_);
    server_->expect({Kind::kParseOurs, 0});
  }
  if (!server_->skipping()) server_->unnamed = unnamed_;
  put(in, out, 0);
}

// Of the unnamed statement; or of one that this server may have, and of which nothing is known here: made by PREPARE,
// too long, or not kept track of.
Session::Step Session::bind_as_it_is(Input& in, std::string_view name, size_t total, bool first) {
  new_names_ = false;
  const bool unnamed = pooled() && name.empty();
  const bool seen = unnamed && unnamed_ != 0 && !is_unnamed_opaque();
  const bool nothing = unnamed && unnamed_ == 0;
  if (seen) note_sequences(look_at_unnamed(), first);
  if (seen && unjudged_ && refuses_unseen(look_at_unnamed())) return Step::kOn;
  if (seen && routed_replica_) note_at_replica(look_at_unnamed());
  if (unnamed) ensure_unnamed(in);
  server_->expect({Kind::kBind, 0});
  if (seen) {
    note_effects(look_at_unnamed());
  } else if (pooled() && !nothing) {
    expect_anything();
  }
  if (nothing) plain_ = only_reads_ = false;
  pass_on(in, total);
  return Step::kOn;
}

Session::Step Session::bind(Input& in, std::string_view message, size_t total) {
  bool complete = false;
  const std::string_view portal = read_c_string(message, pgwire::kHeaderSize, complete);
  const size_t name_at = pgwire::kHeaderSize + portal.size() + 1;
  const std::string_view name = complete ? read_c_string(message, name_at, complete) : std::string_view();
  if (!complete) {
    if (message.size() < total && message.size() < kMaxNames) return Step::kMore;
    fail(sqlstate::kProtocolViolation, "invalid string in message");
    return Step::kOn;
  }
  ++pool_->traffic.binds;
  const bool first = std::exchange(batch_start_, false);
  const auto found = name.empty() || !pooled() ? statements_.end() : statements_.find(name);
  if (found == statements_.end()) return bind_as_it_is(in, name, total, first);
  note_sequences(look_at(found->second.prepared->text()), first);
  if (unjudged_ && refuses_unseen(look_at(found->second.prepared->text()))) return Step::kOn;
  if (routed_replica_) note_at_replica(look_at(found->second.prepared->text()));
  std::string& out = context_.text;
  out.clear();
  const PreparedStatement& there = ensure_prepared(found->second, out);
  new_names_ = !std::exchange(found->second.used, true) && new_names_;
  server_->expect({Kind::kBind, 0});
  std::string& called = context_.name;
  server_->name_of(there.id, called);
  note_effects(look_at(there.text()));             // which may forget all statements: this one is on its way already
  const size_t front = name_at + name.size() + 1;  // of the message: up to the end of the names
  out += fe::kBind;
  append_word(out, total - 1 - name.size() + called.size());
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
  const std::string_view name = read_c_string(message, pgwire::kHeaderSize + 1, complete);
  const bool statement = message[pgwire::kHeaderSize] == 'S' && pooled();
  const auto found = statement && !name.empty() ? statements_.find(name) : statements_.end();
  if (close && found != statements_.end()) {
    const uint32_t change = note_change(name);
    statements_.erase(found);
    last_text_ = nullptr;  // another one may come to stand where its text stood
    server_->expect({Kind::kCloseLocal, 0, change});
    drop(in, total);
    return Step::kOn;
  }
  std::string& out = context_.text;
  out.clear();
  if (statement && name.empty()) {
    if (close) {
      kept_from_ = kNothing;  // nobody knows how to take that back
      unnamed_ = server_->unnamed = 0;
    } else {
      ensure_unnamed(in);
    }
  }
  if (found == statements_.end()) {
    if (statement) new_names_ = false;
    server_->expect({close ? Kind::kClose : Kind::kDescribe, 0});
    pass_on(in, total);
    return Step::kOn;
  }
  const PreparedStatement& there = ensure_prepared(found->second, out);
  new_names_ = !std::exchange(found->second.used, true) && new_names_;
  server_->expect({Kind::kDescribe, 0});
  std::string& called = context_.name;
  server_->name_of(there.id, called);
  append_about_statement(out, fe::kDescribe, called);
  put(in, out, total);
  return Step::kOn;
}

}  // namespace pgb::proxy
