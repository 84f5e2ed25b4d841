// A READ ONLY transaction that began at a replica. What it may not be asked there, above all locks that nobody else
// would see, it goes on with at the primary as long as it has asked nothing, and is refused afterwards.
#include <algorithm>
#include <array>

#include "proxy/message_bytes.h"
#include "proxy/session.h"

namespace pgb::proxy {
namespace {

namespace fe = pgwire::fe;
namespace sqlstate = pgwire::sqlstate;
using sql::Transaction;
using EffectKind = sql::Effect::Kind;

constexpr size_t kMostSaid = 32;  // statements that are said again

// lo_open, lo_close, loread, lo_lseek, lo_tell, lo_lseek64, lo_tell64: by their numbers in pg_proc.dat, which stay.
constexpr std::array<uint32_t, 7> kReadLargeObjects = {952, 953, 954, 956, 958, 3170, 3171};

bool changes_access(const sql::Effect& effect) {
  const std::string value = lower(effect.value);
  return value.find("read write") != std::string::npos || value.find("serializable") != std::string::npos;
}

// Of the session's parameters, and of no more than that.
bool only_sets(const sql::Verdict& verdict) {
  if (verdict.statements != 1 || verdict.effects.empty()) return false;
  return std::all_of(verdict.effects.begin(), verdict.effects.end(), [](const sql::Effect& effect) {
    if (effect.kind == EffectKind::kSet) return effect.name.rfind("transaction_", 0) != 0;
    if (effect.kind == EffectKind::kSetTransaction) return !changes_access(effect);
    return effect.kind == EffectKind::kReset || effect.kind == EffectKind::kResetAll;
  });
}

bool is_neutral(const sql::Verdict& verdict) {
  if (verdict.statements == 0) return verdict.parsed;
  if (verdict.statements > 1) return false;
  const Transaction control = verdict.transaction;
  const bool stays = control == Transaction::kCommit || control == Transaction::kRollback ||
                     control == Transaction::kSavepoint || control == Transaction::kBegin ||
                     control == Transaction::kBeginReadOnly;
  return verdict.shows || stays || only_sets(verdict);
}

}  // namespace

void Session::judge(const Look& look, AtReplica& so_far) {
  const sql::Verdict& verdict = *look.verdict;
  so_far.neutral = so_far.neutral && is_neutral(verdict);
  if (look.replica || !so_far.fits) return;
  so_far.fits = verdict.fits_read_only;
  so_far.reason = look.reason;
  const bool refused_anyway = verdict.writes && verdict.statements == 1;
  if (!so_far.fits || refused_anyway) return;
  const sql::Decision known = context_.router->as_last_known(verdict, database());
  so_far.fits = verdict.read ? known.replica : !known.may_do_anything;
  so_far.said = verdict.read ? known.reason : "it calls functions that may do anything";
}

// All of it, or as far as it has come if more is to come only after an answer.
Session::AtReplica Session::judge_request(std::string_view rest, size_t total) {
  AtReplica judged;
  if (rest[0] == fe::kFunctionCall) {
    const bool has_number = rest.size() >= pgwire::kHeaderSize + 4;
    const uint32_t number = has_number ? read_word(rest, pgwire::kHeaderSize) : 0;
    judged.fits = std::find(kReadLargeObjects.begin(), kReadLargeObjects.end(), number) != kReadLargeObjects.end();
    judged.neutral = false;
    judged.reason = "it calls a function by its number";
    return judged;
  }
  if (rest[0] == fe::kQuery) {
    if (rest.size() >= total) {
      judge(look_at(query_text(rest.substr(0, total))), judged);
    } else {
      judged.fits = judged.neutral = false;
      judged.reason = "it is too long to be looked into";
    }
    return judged;
  }
  std::vector<std::string_view>& parsed = context_.names;
  parsed.clear();
  while (!rest.empty()) {
    const size_t size = rest.size() >= pgwire::kHeaderSize ? size_t{length_word(rest)} + 1 : SIZE_MAX;
    if (rest[0] == fe::kSync) return judged;
    if (size > rest.size() || !may_begin_request(rest[0]) || rest[0] == fe::kQuery) break;
    const std::string_view body = rest.substr(pgwire::kHeaderSize, size - pgwire::kHeaderSize);
    bool complete = true;
    const std::string_view first = read_c_string(body, 0, complete);
    const std::string_view second = complete ? read_c_string(body, first.size() + 1, complete) : first;
    // One that this very request has parsed was judged there; what the name stood for before does not count.
    const bool is_known = std::find(parsed.begin(), parsed.end(), second) == parsed.end() &&
                          (second.empty() ? unnamed_ != 0 : statements_.count(std::string(second)) != 0);
    if (rest[0] == fe::kParse && complete) {
      judge(look_at(second), judged);
      parsed.push_back(first);
    } else if (rest[0] == fe::kBind && complete && is_known) {
      judge(look_at_statement(second), judged);
    }
    rest.remove_prefix(size);
  }
  judged.whole = judged.neutral = false;
  return judged;
}

// Before it is sent to a replica. Kept is what would have to be said to another server, as long as that is no more than
// that a transaction begins, and with which parameters.
void Session::note_at_replica(const Look& look) {
  const sql::Verdict& verdict = *look.verdict;
  const bool inside =
      control_ == Control::kBegin || (control_ == Control::kNone && server_->status() != pgwire::TxnStatus::kIdle);
  if (!inside) {
    begun_.clear();
    if (verdict.transaction == Transaction::kBeginReadOnly) begun_.emplace_back(look.text);
    return;
  }
  if (begun_.empty() || verdict.shows || verdict.statements == 0) return;
  const bool with_values = look.text.find('$') != std::string_view::npos;  // in a message that is not kept
  if (only_sets(verdict) && !with_values && begun_.size() < kMostSaid) {
    begun_.emplace_back(look.text);
  } else if (verdict.transaction != Transaction::kBegin && verdict.transaction != Transaction::kBeginReadOnly) {
    begun_.clear();
  }
}

// Of a request that only reads, while the replica's server is still there.
bool Session::may_read_on() const {
  if (context_.router->sees_all(server_->node(), last_write_ns_)) return true;
  if (!server_->quiet()) return false;
  // In a transaction its snapshot is what it sees, once it has one; a bound session has no choice.
  return begun_.empty() ? !server_->idle() || !pinned_.empty() : !pinned_.empty();
}

// The next request of a transaction at a replica, or of a session that is bound to one, is none that is known to do
// there what it would do at the primary. Nothing is under way.
Session::Step Session::go_on_at_replica(Input& in, size_t total, const Look& look) {
  if (server_->status() == pgwire::TxnStatus::kFailed) return Step::kOn;  // it says so to all
  if (look.verdict != nullptr && answer_ourselves(in, *look.verdict, total)) return Step::kOn;
  const AtReplica judged = judge_request(in.rest(), total);
  if (judged.fits && judged.neutral) return Step::kOn;
  // (That it only reads means that this replica does not have yet what it must see.)
  const bool open = server_->status() != pgwire::TxnStatus::kIdle;
  if (open && !begun_.empty() && pinned_.empty()) return go_on_elsewhere(look);
  if (!open && refuse_write_where_it_is_bound(look)) return Step::kOn;
  if (!judged.fits) {
    refuse_at_replica(judged);
    return Step::kOn;
  }
  unjudged_ = !judged.whole;
  return Step::kOn;
}

// The client is in a transaction all the while: if it comes to nothing there, in one that has failed.
Session::Step Session::go_on_elsewhere(const Look& look) {
  if (server_->holds > 0) {  // whoever lets it go wakes us
    waiting_ = waiting_quiet_ = true;
    wait_until_ = Deadline::never();
    return Step::kWait;
  }
  Server& server = *server_;
  server_ = nullptr;
  if (!kept_.empty()) drop_kept();
  --server.node().gauge->busy;
  pool_->roll_back(server);
  moving_ = lost_told_ = true;
  lost_ = "it was to go on at another server, and came to none";
  return acquire(look);
}

void Session::begin_again(Server& server) {
  for (const std::string& said : begun_) server.ask(Purpose::kApply, said);
  lost_.clear();
  fresh_ = false;  // what comes now is not the first thing that this server hears
  control_ = Control::kBegin;
}

bool Session::refuse_at_replica(const AtReplica& judged) {
  const std::string reason = judged.said.empty() ? std::string(judged.reason) : judged.said;
  const bool open = server_->status() != pgwire::TxnStatus::kIdle;
  const std::string where =
      open ? ", where the READ ONLY transaction is" : ", to which the session is bound because " + pinned_;
  skip_request(
      sqlstate::kReadOnlyTransaction, "cannot do this at the replica " + route_node_ + where + ": " + reason,
      open ? "Begin it with /* pgbalancer: primary */ BEGIN READ ONLY, or do this in it before anything is read."
           : "Close what binds it, or make it outside of a READ ONLY transaction: then it is at the primary.");
  return true;
}

// Of a request that has gone on already it is too late for an error of ours between the answers.
bool Session::refuses_unseen(const Look& look) {
  AtReplica judged;
  judge(look, judged);
  if (judged.fits) return false;
  fail(sqlstate::kReadOnlyTransaction,
       "cannot do this at the replica " + route_node_ + ", where the READ ONLY transaction is",
       (judged.said.empty() ? std::string(judged.reason) : judged.said) +
           "; begin it with /* pgbalancer: primary */ BEGIN READ ONLY");
  return true;
}

}  // namespace pgb::proxy
