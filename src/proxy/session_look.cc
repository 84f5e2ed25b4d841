// What a client's request means: where it may go, what it does to the session, and what we answer ourselves.
#include <algorithm>
#include <array>
#include <cctype>

#include "pgwire/messages.h"
#include "proxy/message_bytes.h"
#include "proxy/session.h"
#include "sql/normalize.h"

namespace pgb::proxy {
namespace {

namespace fe = pgwire::fe;
namespace sqlstate = pgwire::sqlstate;
using EffectKind = sql::Effect::Kind;

constexpr size_t kMaxBatch = 64 * 1024;  // of a request that is looked at up to its end before it is routed
constexpr size_t kMaxLogged = 300;       // bytes of a statement in the log
constexpr char kKeptByProcess[] = "its server's process may keep what nobody sees";

bool is_only_session_state(const sql::Verdict& verdict) {
  if (verdict.effects.size() < verdict.statements || verdict.effects.empty()) return false;
  return std::all_of(verdict.effects.begin(), verdict.effects.end(), [](const sql::Effect& effect) {
    return effect.kind != EffectKind::kUnknown && effect.kind != EffectKind::kTempObject;
  });
}

bool asks_for_sequence(const sql::Verdict& verdict) {
  return std::any_of(verdict.effects.begin(), verdict.effects.end(),
                     [](const sql::Effect& effect) { return effect.kind == EffectKind::kSequenceState; });
}

bool writes(const Look& look) {
  const sql::Verdict& verdict = *look.verdict;
  const bool only_control = verdict.transaction != sql::Transaction::kNone &&
                            verdict.transaction != sql::Transaction::kTwoPhase && verdict.statements == 1;
  const bool reads = verdict.read && !look.may_do_anything;
  return !reads && !only_control && !is_only_session_state(verdict);
}

// Of letters, digits and such, with dots between.
bool is_custom_name(std::string_view text) {
  if (text.size() > 128 || text.find('.') == std::string_view::npos) return false;
  return std::all_of(text.begin(), text.end(), [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '_' || c == '.' || c == '$' || c >= 0x80;
  });
}

// Whether no byte of a character of many bytes may look like ASCII, as the second one of SJIS, BIG5, GBK, UHC, GB18030
// and JOHAB does: there a backslash or a quote may be half a letter. Names as in PostgreSQL's documentation, "Character
// Set Support", of which it ignores case and punctuation.
bool keeps_ascii_apart(std::string_view encoding) {
  constexpr std::array<std::string_view, 13> kSafe = {"utf8",         "unicode", "sqlascii",  "latin",  "iso8859",
                                                      "koi8",         "win125",  "win866",    "win874", "euc",
                                                      "muleinternal", "tcvn",    "windows125"};
  std::string name = lower(encoding);
  name.erase(std::remove_if(name.begin(), name.end(), [](unsigned char c) { return std::isalnum(c) == 0; }),
             name.end());
  return std::any_of(kSafe.begin(), kSafe.end(),
                     [&](std::string_view safe) { return std::string_view(name).substr(0, safe.size()) == safe; });
}

}  // namespace

bool Session::may_begin_request(char tag) {
  return tag == fe::kQuery || tag == fe::kFunctionCall || tag == fe::kParse || tag == fe::kBind ||
         tag == fe::kDescribe || tag == fe::kClose || tag == fe::kExecute;
}

// False: more of it must come first. Else `look` says where the whole request may go; a query has its verdict there.
bool Session::look_at_request(std::string_view rest, size_t total, Look& look, std::string& refusal) {
  if (rest[0] == fe::kFunctionCall) return true;
  if (rest[0] != fe::kQuery) return look_at_batch(rest, look, refusal);
  if (rest.size() < total) return total > kMaxWhole;  // too long to be looked at: to the primary
  look = look_at(query_text(rest.substr(0, total)));
  refusal = refusal_by_mode(*look.verdict);
  return true;
}

// Whether all there is of a request is here, up to its Sync; then `look` says where the whole of it may go.
bool Session::look_at_batch(std::string_view bytes, Look& look, std::string& refusal) {
  bool replica = true;
  // Of the first that must go to the primary, else of the last.
  ReasonId why = reason::kNotLookedInto;
  Meaning meaning = Meaning::kNotLookedInto;
  std::vector<std::string_view>& parsed = context_.names;
  parsed.clear();
  size_t at = 0;
  while (bytes.size() - at >= pgwire::kHeaderSize) {
    const std::string_view rest = bytes.substr(at);
    const size_t total = size_t{length_word(rest)} + 1;
    if (total < pgwire::kHeaderSize) break;
    const char tag = rest[0];
    if (tag == fe::kSync) {
      look.replica = replica;
      look.counted_as = why;
      look.meaning = meaning;
      look.reason = context_.shared.reasons.text(why);
      return true;
    }
    // What comes after a Flush is not known when the first part must go.
    if (tag == fe::kFlush || tag == fe::kQuery || tag == fe::kFunctionCall || tag == fe::kTerminate) return true;
    if (rest.size() < total) break;
    const std::string_view body = rest.substr(pgwire::kHeaderSize, total - pgwire::kHeaderSize);
    bool complete = true;
    if (tag == fe::kParse) {
      const std::string_view name = read_c_string(body, 0, complete);
      const std::string_view text = complete ? read_c_string(body, name.size() + 1, complete) : name;
      const Look of_text = look_at(text);
      if (refusal.empty()) refusal = refusal_by_mode(*of_text.verdict);
      if (replica) why = of_text.counted_as, meaning = of_text.meaning;
      replica = complete && replica && of_text.replica;
      if (complete) parsed.push_back(name);
    } else if (tag == fe::kBind || (tag == fe::kDescribe && !body.empty() && body[0] == 'S')) {
      const std::string_view portal = tag == fe::kBind ? read_c_string(body, 0, complete) : std::string_view();
      const std::string_view name = complete ? read_c_string(body, portal.size() + 1, complete) : portal;
      // One that this very request has parsed was looked at there; what the name stood for before does not count.
      const bool parsed_here = std::find(parsed.begin(), parsed.end(), name) != parsed.end();
      const auto found = statements_.find(name);
      const bool known = !parsed_here && (name.empty() ? unnamed_ != 0 : found != statements_.end());
      if (complete && known) {
        const Look of_statement = name.empty() ? look_at_unnamed() : look_at(found->second.prepared->text());
        if (replica) why = of_statement.counted_as, meaning = of_statement.meaning;
        replica = replica && of_statement.replica;
      }
      replica = replica && complete && (known || parsed_here || name.empty());
    }
    at += total;
  }
  return bytes.size() >= kMaxBatch;  // too much to wait for its end: to the primary
}

std::string_view Session::query_text(std::string_view message) const {
  bool complete = false;
  const std::string_view text = read_c_string(message, pgwire::kHeaderSize, complete);
  return complete ? text : message.substr(pgwire::kHeaderSize);
}

bool Session::is_read_as_written() {
  if (judged_parameters_ == parameters_) return read_as_written_;
  const auto value = [this](const char* name, const std::string& by_default) {
    const auto found = parameters_->find(name);
    return found == parameters_->end() ? by_default : found->second;
  };
  judged_parameters_ = parameters_;
  parsed_under_ = context_.shared.sets.intern(for_parsing(*parameters_));
  serializable_ = lower(value("default_transaction_isolation", default_isolation_)) == "serializable";
  read_as_written_ = value("standard_conforming_strings", default_strings_) == "on" &&
                     keeps_ascii_apart(value("client_encoding", default_encoding_));
  return read_as_written_;
}

Look Session::look_at(std::string_view text) {
  if (text.data() == last_text_ && text.size() == last_size_) return last_look_;
  last_look_ = context_.router->look(text, database(), is_read_as_written());
  last_text_ = text.data();
  last_size_ = text.size();
  return last_look_;
}

Look Session::look_at_statement(std::string_view name) {
  if (name.empty()) return look_at_unnamed();
  const auto found = statements_.find(name);
  return look_at(found == statements_.end() ? std::string_view() : found->second.prepared->text());
}

Look Session::look_at_unnamed() {
  static const sql::Verdict kTooLong;
  if (is_unnamed_opaque()) {
    Look look;
    look.verdict = &kTooLong;
    look.may_leave = look.asks_number = true;
    look.reason = context_.shared.reasons.text(reason::kNotLookedInto);
    look.counted_as = reason::kNotLookedInto;
    return look;
  }
  return look_at(std::string_view(unnamed_body_).substr(0, unnamed_body_.find('\0')));
}

// A query that no server needs to see.
bool Session::answer_ourselves(Input& in, const sql::Verdict& verdict, size_t total) {
  if (server_ != nullptr && server_->status() == pgwire::TxnStatus::kFailed) return false;  // it says so to all
  const std::string_view text = query_text(in.rest().substr(0, total));
  if (!deallocate(verdict)) return answer_if_asked(in, text, total);
  drop(in, total);
  send_ready();
  return true;
}

// DEALLOCATE of a statement that was prepared by message: servers know it under another name, and others use it.
bool Session::deallocate(const sql::Verdict& verdict) {
  if (verdict.statements != 1 || verdict.effects.size() != 1) return false;
  const sql::Effect& effect = verdict.effects[0];
  if (effect.kind != EffectKind::kDeallocate) return false;
  const bool all = effect.name.empty();
  if (all ? !pinned_.empty() || truth_needed_ : statements_.erase(effect.name) == 0) return false;
  if (all) statements_.clear();
  last_text_ = nullptr;
  std::string bytes;
  pgwire::encode(bytes, pgwire::CommandComplete{all ? "DEALLOCATE ALL" : "DEALLOCATE"});
  send_client(bytes);
  return true;
}

std::string Session::refusal_by_mode(const sql::Verdict& verdict) const {
  if (mode_ != PoolMode::kStatement || !verdict.parsed) return {};
  std::string what;
  if (verdict.transaction != sql::Transaction::kNone) what = "transactions are";
  const auto leaves_nothing = [](const sql::Effect& effect) {
    return effect.local || effect.kind == EffectKind::kDeallocate || effect.kind == EffectKind::kDiscard ||
           effect.kind == EffectKind::kResetAll || effect.kind == EffectKind::kReset;
  };
  const auto& effects = verdict.effects;
  if (what.empty() && !std::all_of(effects.begin(), effects.end(), leaves_nothing)) what = "session state is";
  return what;
}

bool Session::refused_by_mode(const std::string& refusal) {
  if (refusal.empty()) return false;
  skip_request(sqlstate::kFeatureNotSupported, refusal + " not possible with pool_mode \"statement\"",
               "Each statement may go to another server. Use pool_mode \"transaction\" or \"session\".");
  return true;
}

// currval(), lastval(): what this session's nextval() left behind on one server. Another client's numbers are not to be
// seen: better the server says that there are none.
void Session::note_sequences(const Look& look, bool changes, bool first) {
  const bool says_so = asks_for_sequence(*look.verdict);
  if (says_so) pool_->asks_for_sequences = true;
  const bool asks = says_so || look.asks_number;
  // A table's defaults draw numbers, too, of which no text tells.
  const bool draws = look.verdict->draws_number || (changes && (pool_->asks_for_sequences || look.numbers_asked));
  if (draws) drew_number_ = draws_numbers_ = true;
  uint64_t& numbers_of = server_->numbers_of;
  if (numbers_of == id_ || !(asks || draws || changes)) return;
  const bool strange = numbers_of != Server::kNobody;
  const bool can_ask = first && !server_->owes_client() && server_->status() != pgwire::TxnStatus::kFailed;
  numbers_of = !strange || asks || draws ? id_ : Server::kMany;
  if (strange && numbers_of == id_ && can_ask) server_->ask(Purpose::kApply, "DISCARD SEQUENCES");
}

// Before the first message of a request goes out: within it nothing of ours can stand.
void Session::note_sequences(const Look& look, bool first) {
  if (server_->numbers_of != id_) note_sequences(look, writes(look), first);
}

// The catalogue does not know yet what this session itself has just made.
void Session::note_code(const Look& look) {
  const sql::Verdict& verdict = *look.verdict;
  new_code_.insert(new_code_.end(), verdict.new_code.begin(), verdict.new_code.end());
  const bool calls = !new_code_.empty() &&
                     std::any_of(verdict.functions.begin(), verdict.functions.end(), [this](const std::string& name) {
                       return std::find(new_code_.begin(), new_code_.end(), name) != new_code_.end();
                     });
  if (!calls && !look.keeps_state) return;
  sticky_pin_ = kKeptByProcess;
  server_->retire = truth_needed_ = true;  // no other session may have it, whatever is discarded
}

void Session::note_effects(const Look& look) {
  const sql::Verdict& verdict = *look.verdict;
  const bool changes = writes(look);
  if (changes) wrote_ = true;
  note_meaning(look);
  note_sequences(look, changes, batch_start_);
  const bool unseen = look.may_do_anything || (changes && look.may_leave);
  if (unseen) truth_needed_ = server_->tainted = true;
  if (unseen || !verdict.effects.empty()) note_unseen(look);
  note_code(look);
  if (std::exchange(untold_, false)) truth_needed_ = true;
  if (verdict.changes_catalog) {
    catalog_changed_ = true;
    ++context_.shared.counters.catalog_changes;
  }
  // What the server was kept for may be gone after it.
  if (!pinned_.empty() && (verdict.changes_catalog || (pinned_ == kHeldCursor && !verdict.read))) truth_needed_ = true;
  for (const sql::Effect& effect : verdict.effects) note_effect(effect);
}

// Parameters with a dot in their names are listed by no server: whatever may be set unseen is asked for by its name.
// Names are those that the database's functions set, and those in the text, if it calls a function that takes one.
void Session::note_unseen(const Look& look) {
  for (const std::string& name : context_.router->custom_parameters(database())) note_custom(name);
  const sql::Verdict& verdict = *look.verdict;
  const bool opaque = std::any_of(verdict.effects.begin(), verdict.effects.end(), [](const sql::Effect& effect) {
    return effect.kind == EffectKind::kUnknown || effect.kind == EffectKind::kPrepare;
  });
  const bool unknown = look.may_do_anything && !context_.router->knows(database());
  if (!look.sets_any && !opaque && !unknown) return;
  bool literal = false;
  // Any quote may be the first one of a pair.
  for (size_t at = look.text.find('\''); at != std::string_view::npos;) {
    const size_t end = look.text.find('\'', at + 1);
    if (end == std::string_view::npos) break;
    literal = true;
    const std::string_view name = look.text.substr(at + 1, end - at - 1);
    if (is_custom_name(name)) note_custom(std::string(name));
    at = end;
  }
  if (look.sets_any && !literal) stick("it called a function that sets parameters of any name");
}

void Session::note_custom(const std::string& name) {
  constexpr size_t kMost = 200;
  const bool known = std::find(custom_names_.begin(), custom_names_.end(), name) != custom_names_.end();
  if (known) return;
  if (custom_names_.size() < kMost) {
    custom_names_.push_back(name);
  } else {
    stick("it has set too many parameters of extensions");
  }
}

// Why the server stays with the session from now on, though it does not tell. What its process keeps outweighs what can
// be discarded.
void Session::stick(const char* why) {
  if (sticky_pin_ != kKeptByProcess) sticky_pin_ = why;
}

void Session::unstick() {
  if (sticky_pin_ != kKeptByProcess) sticky_pin_.clear();
}

void Session::note_effect(const sql::Effect& effect) {
  switch (effect.kind) {
    case EffectKind::kSet:
      set_locally_ = set_locally_ || (effect.local && is_for_parsing(lower(effect.name)));
      if (effect.local) return;
      if (effect.name.find('.') != std::string::npos) note_custom(effect.name);
      break;
    case EffectKind::kSetTransaction:
      if (effect.local) return;
      break;
    case EffectKind::kReset:
      if (std::find(reset_names_.begin(), reset_names_.end(), lower(effect.name)) != reset_names_.end()) break;
      reset_names_.push_back(lower(effect.name));
      break;
    case EffectKind::kResetAll: reset_all_ = true; break;
    case EffectKind::kUnknown: server_->tainted = true; break;
    case EffectKind::kLoad: stick("it loaded a library"); break;
    case EffectKind::kSequenceState: stick("it asks for a sequence's last value"); break;
    case EffectKind::kDiscard:
      if (effect.value == "SEQUENCES") unstick();
      if (effect.value != "ALL" || server_->skipping()) break;
      reset_all_ = discards_all_ = true;
      note_discard();
      break;
    case EffectKind::kDeallocate:
      if (effect.name.empty() && !server_->skipping()) note_discard();
      break;
    default: break;
  }
  truth_needed_ = true;
}

// The names that there are now are gone if nothing fails; those that come after it stay.
void Session::note_discard() {
  discards_ = true;
  discarded_at_ = last_change_;
  errors_before_ = server_->errors;
  server_->forget_all();
}

// For the log of slow queries: of what runs next, without its literals, which may be secrets.
void Session::note_text(std::string_view message, size_t total) {
  const char tag = message[0];
  if (tag != fe::kQuery && tag != fe::kParse && tag != fe::kBind) return;
  const bool shown = message.size() >= total && sql::normalize(text_of(message), slow_text_);
  if (!shown) slow_text_.clear();
  if (slow_text_.size() > kMaxLogged) slow_text_.resize(kMaxLogged);
}

// The statement that a Query or Parse has, or a Bind means; empty: it is not here any more.
std::string_view Session::text_of(std::string_view message) const {
  if (message[0] == fe::kQuery) return query_text(message);
  bool complete = false;
  const size_t second = pgwire::kHeaderSize + read_c_string(message, pgwire::kHeaderSize, complete).size() + 1;
  const std::string_view text = read_c_string(message, second, complete);
  if (message[0] == fe::kParse) return text;
  if (text.empty()) return std::string_view(unnamed_body_).substr(0, unnamed_body_.find('\0'));
  const auto found = statements_.find(text);
  return found == statements_.end() ? std::string_view() : found->second.prepared->text();
}

}  // namespace pgb::proxy
