// Queries and prepared statements on their way to a server: servers know each statement by a name of ours, so that
// sessions share it.
#include <algorithm>

#include "pgwire/error_response.h"
#include "proxy/message_bytes.h"
#include "proxy/session.h"

namespace pgb::proxy {
namespace {

namespace fe = pgwire::fe;
namespace sqlstate = pgwire::sqlstate;
using Kind = Expectation::Kind;

constexpr uint32_t kFirstUnnamed = 1;  // stands for a Parse of the unnamed statement that may fail, but not be skipped
constexpr size_t kMaxNames = 4096;     // the two names at the front of a Bind
constexpr char kGone[] = "pgbalancer_gone";  // a statement that is there to be deallocated

}  // namespace

// Of what is too long, or too opaque, to be looked at, the server will say what came of it.
void Session::expect_anything() {
  truth_needed_ = wrote_ = server_->tainted = ends_sent_ = true;
  plain_ = only_reads_ = false;
}

Session::Step Session::query(Input& in, std::string_view message, size_t total) {
  if (pooled()) {
    if (message.size() < total && total <= kMaxWhole) return Step::kMore;
    if (message.size() >= total) {
      const Look look = look_at(query_text(message));
      if (server_->quiet() && answer_ourselves(in, *look.verdict, total)) return Step::kOn;
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
  const bool first = std::exchange(batch_start_, false);
  ++pool_->traffic.client_parses;
  bool complete = false;
  const std::string_view name = read_c_string(message, pgwire::kHeaderSize, complete);
  const bool untracked = !name.empty() && context_.pool_settings.max_prepared == 0;
  if (!pooled() || untracked || !complete || message.size() < total) {
    if (pooled() && !untracked) expect_anything();
    if (pooled() && complete && name.empty()) unnamed_ = 0;
    if (may_reset_to_its_own() && complete && message.size() >= total) {
      const std::string_view text = message.substr(pgwire::kHeaderSize + name.size() + 1);
      note_effects(look_at(text.substr(0, text.find('\0'))));
    }
    server_->unnamed = 0;
    plain_ = only_reads_ = false;
    server_->expect({Kind::kParse, 0});
    pass_on(in, total);
    return Step::kOn;
  }
  const std::string_view body = message.substr(pgwire::kHeaderSize + name.size() + 1);
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
  const uint32_t change = note_change(name);
  statements_[std::string(name)] = {statement};
  if (server_->has(statement->id) && refuses(*statement)) {  // it shall say so itself, before it looks at the name
    std::string& again = context_.text;
    again.clear();
    server_->name_of(statement->id, context_.name);
    append_parse(again, context_.name, body);
    server_->expect({Kind::kParse, 0, change});
    put(in, again, total);
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

// The text was looked at a moment ago, where the message has it: what was found holds for the copy.
void Session::keep_unnamed(std::string_view body) {
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

bool Session::is_confirmed(std::string_view statement) const {
  return std::none_of(changes_.begin(), changes_.end(), [&](const NameChange& one) { return one.name == statement; });
}

// Before the change is made. The first message of a request is never skipped; it may fail, which matters to a name
// only.
uint32_t Session::note_change(std::string_view name) {
  if (name.empty() && server_->quiet()) return kFirstUnnamed;
  NameChange& change = changes_.emplace_back();
  change.number = last_change_ = std::max(last_change_ + 1, kFirstUnnamed + 1);
  change.name = name;
  if (name.empty()) {
    change.unnamed = unnamed_;
    if (unnamed_ != 0) change.unnamed_body = unnamed_body_;
  } else if (const auto found = statements_.find(change.name); found != statements_.end()) {
    change.before = found->second.prepared;
  }
  return change.number;
}

void Session::server_skipped(uint32_t change, bool failed) {
  if (change == kFirstUnnamed) {
    unnamed_ = 0;
    return;
  }
  const auto found =
      std::find_if(changes_.begin(), changes_.end(), [&](const auto& one) { return one.number == change; });
  if (found == changes_.end()) return;
  NameChange gone = std::move(*found);
  const auto next = changes_.erase(found);
  // The server drops the unnamed statement before it looks at the new one.
  if (failed && gone.name.empty()) gone.unnamed = 0;
  const auto later = std::find_if(next, changes_.end(), [&](const auto& one) { return one.name == gone.name; });
  if (later == changes_.end()) return take_back(gone);
  later->before = std::move(gone.before);
  later->unnamed = gone.unnamed;
  later->unnamed_body = std::move(gone.unnamed_body);
}

void Session::take_back(const NameChange& change) {
  if (change.name.empty()) {
    unnamed_ = change.unnamed;
    unnamed_body_ = change.unnamed_body;
    last_text_ = nullptr;
  } else if (change.before) {
    statements_[change.name] = {change.before};
  } else {
    statements_.erase(change.name);
  }
}

// Everything was answered. What discards statements has done so unless there was an error.
void Session::names_are_settled() {
  const std::vector<NameChange> changes = std::exchange(changes_, {});
  const bool all = std::exchange(discards_all_, false);
  if (!std::exchange(discards_, false) || server_->errors != errors_before_) return;
  ClientStatements later;
  bool unnamed_later = false;
  for (const NameChange& change : changes) {
    if (change.number <= discarded_at_) continue;
    const auto found = statements_.find(change.name);
    if (found != statements_.end()) later.insert(*found);
    unnamed_later = unnamed_later || change.name.empty();
  }
  statements_ = std::move(later);
  if (!all) return;
  if (!unnamed_later) unnamed_ = 0;
  sticky_pin_.clear();
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

void Session::ensure_prepared(const PreparedPtr& statement, std::string& out) {
  if (!server_->touch_known(statement->id)) prepare(*statement, Kind::kParseOurs, out);
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
  const PreparedPtr prepared = found == statements_.end() ? nullptr : found->second.prepared;
  const bool known = pooled() && (name.empty() ? unnamed_ != 0 : prepared != nullptr);
  const auto look = [&] { return prepared ? look_at(prepared->text()) : look_at_unnamed(); };
  if (known) note_sequences(look(), first);
  std::string& out = context_.text;
  out.clear();
  if (name.empty() && pooled()) ensure_unnamed(in);
  if (prepared == nullptr) {  // the unnamed one, or one made by PREPARE on this very server
    server_->expect({Kind::kBind, 0});
    if (known) note_effects(look());
    if (!known) plain_ = only_reads_ = false;
    pass_on(in, total);
    return Step::kOn;
  }
  ensure_prepared(prepared, out);
  server_->expect({Kind::kBind, 0});
  std::string& called = context_.name;
  server_->name_of(prepared->id, called);
  note_effects(look());                            // which may forget all statements: this one is on its way already
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
    server_->expect({close ? Kind::kClose : Kind::kDescribe, 0});
    pass_on(in, total);
    return Step::kOn;
  }
  ensure_prepared(found->second.prepared, out);
  server_->expect({Kind::kDescribe, 0});
  std::string& called = context_.name;
  server_->name_of(found->second.prepared->id, called);
  append_about_statement(out, fe::kDescribe, called);
  put(in, out, total);
  return Step::kOn;
}

}  // namespace pgb::proxy
