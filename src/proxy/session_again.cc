// What a server refuses before the client has heard a byte of an answer, though another server would do it, or this one
// with a new plan: the request goes there, and the client does not notice. Also servers that refuse what the session
// has set.
#include "proxy/message_bytes.h"
#include "proxy/refusals.h"
#include "proxy/session.h"

namespace pgb::proxy {
namespace {

namespace fe = pgwire::fe;
namespace sqlstate = pgwire::sqlstate;

constexpr char kIsolation[] = "default_transaction_isolation";
constexpr unsigned kMostElsewhere = 2;  // a replica may refuse it, and the primary have an old plan

// visit(tag, body) of each message of a request that is here as a whole.
template <class Visit>
void each_message(std::string_view bytes, Visit visit) {
  while (bytes.size() >= pgwire::kHeaderSize) {
    const size_t total = std::min(bytes.size(), size_t{length_word(bytes)} + 1);
    visit(bytes[0], bytes.substr(pgwire::kHeaderSize, total - pgwire::kHeaderSize));
    bytes.remove_prefix(total);
  }
}

// The name of the statement that a Bind, or a Describe of a statement, is about.
std::optional<std::string_view> statement_of(char tag, std::string_view body) {
  bool complete = false;
  size_t at = 1;
  if (tag == fe::kBind) {
    at = read_c_string(body, 0, complete).size() + 1;
  } else if (tag != fe::kDescribe || body.empty() || body[0] != 'S') {
    return std::nullopt;
  }
  return read_c_string(body, at, complete);
}

}  // namespace

// An error of the only request under way, which came as a whole, outside of a transaction. True: it is not passed on.
bool Session::goes_elsewhere(Server& server, const pgwire::ErrorResponse& error) {
  const bool whole = !kept_.empty() && requests_ == 1 && state_ == State::kReady && can_go_on(server) && !leaving_;
  const bool controls = control_ != Control::kNone || ends_sent_;
  if (!whole || controls || elsewhere_ != Elsewhere::kNo || sent_again_ >= kMostElsewhere) return false;
  if (is_of_old_plan(error)) {
    size_t executes = 0;
    each_message(kept_.view(), [&](char tag, std::string_view) { executes += tag == fe::kExecute ? 1 : 0; });
    if (!new_names_ || server.expects(Expectation::Kind::kExecute) < executes) return false;
    elsewhere_ = Elsewhere::kNewPlan;
  } else {
    const bool refused = routed_replica_ && only_reads_ && may_be_of_replica(error);
    if (!refused || context_.topology->primary_for_work() == nullptr) return false;
    note_refusal(error);
    elsewhere_ = Elsewhere::kPrimary;
  }
  waiting_ = waiting_quiet_ = true;
  wait_until_ = Deadline::never();
  return true;
}

// The next time it goes to the primary at once.
void Session::note_refusal(const pgwire::ErrorResponse& error) {
  if (is_of_serializable(error)) {  // whatever the text: a role's, a database's or the server's own default
    default_isolation_ = "serializable";
    judged_parameters_.reset();
    return;
  }
  std::string_view text;
  size_t texts = 0;
  each_message(kept_.view(), [&](char tag, std::string_view body) {
    bool complete = false;
    std::string_view one;
    if (tag == fe::kQuery) {
      one = read_c_string(body, 0, complete);
    } else if (tag == fe::kParse) {
      one = read_c_string(body, read_c_string(body, 0, complete).size() + 1, complete);
    } else if (const auto name = statement_of(tag, body)) {
      one = look_at_statement(*name).text;
    } else {
      return;
    }
    texts += texts == 0 || one != text ? 1 : 0;
    text = one;
  });
  if (texts == 1) context_.router->note_refusal(text, database());  // else nobody knows which one it was
}

// The server has nothing more to say of what it refused.
void Session::send_elsewhere() {
  if (server_->holds > 0) return;
  const Elsewhere why = std::exchange(elsewhere_, Elsewhere::kNo);
  waiting_ = waiting_quiet_ = false;
  ++sent_again_;
  for (; !changes_.empty(); changes_.pop_back()) take_back(changes_.back());
  forget_request(*server_);
  if (why == Elsewhere::kNewPlan) renew_plans();
  to_primary_ = why == Elsewhere::kPrimary;
  take_up_kept();
  release();
  resume();
  update_interest();
}

// Of what the request executes: under other names than those by which servers have the old ones.
void Session::renew_plans() {
  ++context_.shared.counters.catalog_changes;
  each_message(kept_.view(), [&](char tag, std::string_view body) {
    const auto name = statement_of(tag, body);
    const auto found = name ? statements_.find(*name) : statements_.end();
    if (found == statements_.end()) return;
    const PreparedPtr old = found->second.prepared;
    found->second = {statement_for(old->body)};
  });
  last_text_ = nullptr;
}

// In place of what an earlier session left there.
void Session::give_parameters(Server& server, bool tainted, bool used) {
  const ParameterSetPtr left = server.parameters();
  if (tainted) {
    server.ask(Purpose::kApply, "RESET ALL");  // also of what no server lists
    Parameters still;
    const auto role = left->find("role");
    if (role != left->end()) still.insert(*role);
    server.set_parameters(context_.shared.sets.intern(std::move(still)));
  }
  if (server.parameters() != parameters_) change_parameters(server, *server.parameters(), Purpose::kApply);
  may_refuse_ = used && !server.quiet() && may_be_refused(*left, *parameters_);
  if (!may_refuse_ || state_ != State::kReady) return;
  waiting_ = waiting_quiet_ = true;
  wait_until_ = Deadline::never();
  server.flush();
}

// From `from` to those of this session. A query's text is read in the encoding in force when it comes: that of an
// earlier session is taken back in a message of its own.
void Session::change_parameters(Server& server, Parameters from, Purpose purpose) {
  // A time-out is that of a whole message: one that is to go must not hit what comes behind it.
  if (has_short_timeout(from) && from.erase("statement_timeout") != 0) server.ask(purpose, "RESET statement_timeout");
  if (from.erase("client_encoding") != 0) server.ask(purpose, "RESET client_encoding");
  // A transaction is what the default was when it began; and where that is serializable, a replica does no SELECT.
  const auto isolation = parameters_->find(kIsolation);
  if (isolation != parameters_->end() && from[kIsolation] != isolation->second) {
    server.ask(purpose, std::string("SET ") + kIsolation + " TO " + quote_literal(isolation->second));
    from[kIsolation] = isolation->second;
  }
  const std::string sql = sql_to_change(from, *parameters_);
  server.set_parameters(parameters_);
  if (!sql.empty()) server.ask(purpose, sql);
}

// The session's parameters could not be set, or what an earlier session left there not be taken back: another server
// may do it, if nothing was asked of this one but what may be asked again. Of replicas, the primary: it knows more.
bool Session::takes_another_server(Server& server, const pgwire::ErrorResponse& error) {
  const bool sendable = !kept_.empty() && requests_ == 1 && only_reads_ && can_go_on(server) && sent_again_ == 0;
  if (!may_refuse_ && !sendable) return false;
  if (!may_refuse_) ++sent_again_;
  if (is_of_serializable(error)) note_refusal(error);
  may_refuse_ = waiting_ = waiting_quiet_ = false;
  forget_request(server);
  server_ = nullptr;
  --server.node().gauge->busy;
  server.serve(nullptr);
  pool_->discard(server);
  if (state_ == State::kGreeting) {
    waiting_ = true;
    on_topology();
    return true;
  }
  if (sendable) take_up_kept();
  to_primary_ = sendable && routed_replica_;
  resume();
  update_interest();
  return true;
}

}  // namespace pgb::proxy
