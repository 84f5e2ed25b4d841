// The server that a session has at the moment: choosing, waiting, what it leaves behind, giving it back.
#include "base/log.h"
#include "pgwire/error_response.h"
#include "proxy/session.h"

namespace pgb::proxy {
namespace {

namespace sqlstate = pgwire::sqlstate;

constexpr int64_t kNoReplica = 1'000'000'000;  // ns without reads at replicas for a session that one has refused
constexpr char kSaved[] = "pgbalancer.statement_timeout", kSavedRole[] = "pgbalancer.role";
constexpr char kTruthPins[] =
    "SELECT 'pin', 'it listens to a channel', NULL WHERE EXISTS (SELECT FROM pg_catalog.pg_listening_channels())"
    // Whatever kind they are of: DISCARD TEMP, too, finds them by their dependency on the schema.
    " UNION ALL SELECT 'pin', 'it has temporary objects', NULL WHERE EXISTS (SELECT FROM pg_catalog.pg_depend WHERE"
    " refclassid = 2615 AND refobjid = pg_catalog.pg_my_temp_schema())"  // 2615: pg_namespace
    " UNION ALL SELECT 'pin', 'it holds advisory locks', NULL WHERE EXISTS (SELECT FROM pg_catalog.pg_locks WHERE pid ="
    " pg_catalog.pg_backend_pid() AND locktype = 'advisory')"
    " UNION ALL SELECT 'pin', 'it has a cursor WITH HOLD', NULL WHERE EXISTS (SELECT FROM pg_catalog.pg_cursors)"
    " UNION ALL SELECT 'pin', 'it has statements made with PREPARE', NULL WHERE EXISTS (SELECT FROM"
    " pg_catalog.pg_prepared_statements WHERE from_sql)"
    " UNION ALL SELECT 'pin', 'it has another session user', NULL WHERE session_user <> ";

bool tells_of_role(const InternalAnswer& answer) {
  return std::any_of(answer.rows.begin(), answer.rows.end(),
                     [](const auto& row) { return row.size() > 2 && row[0] == "set" && row[1] == "role"; });
}

bool is_ascii(const std::string& text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

}  // namespace

const NodeView* Session::choose(const Look& look) {
  const bool refused = no_replica_until_ns_ > context_.now_ns();
  const bool split = context_.pool_settings.read_write_split && mode_ != PoolMode::kSession && !refused;
  is_read_as_written();  // looks at the session's parameters if they are new
  if (look.replica && split && serializable_) {
    note_route({}, reason::kSerializable);
  } else if (look.replica && split) {
    if (const NodeView* replica = context_.router->choose_replica(context_.router->must_see(last_write_ns_))) {
      routed_replica_ = true;
      note_route(look.reason, look.counted_as);
      return replica;
    }
    note_route({}, reason::kNoReplica);
  } else if (look.replica) {
    note_route({}, refused ? reason::kRefused : mode_ == PoolMode::kSession ? reason::kSessionMode : reason::kNoSplit);
  } else {
    note_route(look.reason, look.counted_as);
  }
  routed_replica_ = false;
  return context_.topology->primary_for_work();
}

void Session::note_route(std::string_view reason, ReasonId counted_as) {
  route_reason_.assign(reason.empty() ? context_.shared.reasons.text(counted_as) : reason);
  counted_as_ = counted_as;
}

// Borrows a server for what comes next. kWait: the session goes on when there is one.
Session::Step Session::acquire(const Look& look) {
  routed_.replica = look.replica;
  routed_.counted_as = look.counted_as;
  routed_.meaning = look.meaning;
  routed_.reason = context_.shared.reasons.text(look.counted_as);
  if (!waiting_) {
    transaction_since_ = context_.loop.now();
    wait_until_ = queue_limit();
    held_until_.reset();
  }
  if (is_kept_back()) return keep_back();
  const NodeView* node = choose(look);
  waiting_ = true;
  hold_or_not(node);
  if (node == nullptr) return Step::kWait;
  Server* server = pool_->get(*this, *node, draws_numbers_);
  if (server == nullptr) {
    queued_ = true;
    return Step::kWait;
  }
  attach(*server);
  return waiting_ ? Step::kWait : Step::kOn;
}

void Session::attach(Server& server) {
  waiting_ = queued_ = false;
  server_ = &server;
  fresh_ = true;
  route_node_ = server.node().name;
  context_.routes.count(server.node(), counted_as_, routed_.meaning);
  ++pool_->traffic.assignments;
  if (state_ == State::kReady) ++transactions_;
  ++server.node().gauge->busy;
  server.serve(this);
  if (routed_replica_) {
    ++context_.stats.to_replicas;
  } else {
    ++context_.stats.to_primary;
  }
  const bool tainted = server.last_session != id_ && std::exchange(server.tainted, false);
  const bool used = std::exchange(server.last_session, id_) != 0;
  may_refuse_ = false;
  if (tainted || server.parameters() != parameters_) give_parameters(server, tainted, used);
  if (moving_) begin_again(server);
}

void Session::server_given(Server& server) {
  queued_ = false;
  if (state_ == State::kReady) pool_->traffic.wait_us += microseconds(context_.loop.now() - transaction_since_);
  attach(server);
  if (state_ == State::kGreeting) {
    server.flush();
    if (server.quiet()) server_answered(server, Purpose::kApply, InternalAnswer());
  } else {
    resume();
  }
  update_interest();
}

void Session::server_refused(const std::string& why, const pgwire::ErrorResponse* error) {
  queued_ = false;
  // What is new to a replica may be old to the primary: roles, databases, rules.
  if (state_ == State::kReady && routed_replica_ && context_.topology->primary() != nullptr) {
    no_replica_until_ns_ = context_.now_ns() + kNoReplica;
    return on_topology();
  }
  waiting_ = false;
  if (error == nullptr) return fail(sqlstate::kCannotConnectNow, "no server lets us in", why);
  ++context_.shared.counters.refused_total;
  std::string bytes;
  pgwire::encode(bytes, *error);
  client_.append(bytes);
  close_after_flush();
}

void Session::node_changed() {
  queued_ = false;
  on_topology();
}

// Chooses anew for a session that waits and stands in no queue.
void Session::on_topology() {
  if (is_at_former_primary()) return server_->abandon("the server " + route_node_ + " is not the primary any more");
  if (!waiting_ || queued_ || ending_ || server_ != nullptr || dedicated_) return;
  if (state_ == State::kGreeting) {
    if (is_kept_back()) return;
    const NodeView* node = context_.topology->primary_for_work();
    if (node == nullptr) node = context_.router->choose_replica(0);  // while there is no primary, it may still read
    if (node == nullptr) return;
    routed_replica_ = node->role == NodeRole::kReplica;
    if (Server* server = pool_->get(*this, *node)) {
      server_given(*server);
    } else {
      queued_ = true;
    }
  } else if (state_ == State::kReady) {
    if (acquire(routed_) == Step::kOn) resume();
  }
  update_interest();
}

void Session::server_says(std::string_view bytes) {
  if (!kept_.empty()) drop_kept();
  // Nobody may hear from this client what it wrote before all others see it.
  if (wrote_ && context_.pool_settings.causal_reads == CausalReads::kGlobal) context_.router->note_write();
  pool_->traffic.bytes_to_clients += bytes.size();
  send_client(bytes);
}

void Session::server_drained() {
  if (!in_.empty()) resume();
  update_interest();
}

// It will be quiet again only after the Sync that may stand behind what waits for that.
void Session::server_skips() {
  if (state_ != State::kReady || !waiting_quiet_ || leaving_) return;
  waiting_ = waiting_quiet_ = false;
  resume();
  update_interest();
}

void Session::server_ready(Server& server) {
  if (mode_ == PoolMode::kStatement && server.status() != pgwire::TxnStatus::kIdle) {  // its text was not understood
    return fail(sqlstate::kFeatureNotSupported, "transactions are not possible with pool_mode \"statement\"",
                "Each statement may go to another server. Use pool_mode \"transaction\" or \"session\".");
  }
  if (elsewhere_ == Elsewhere::kNo) {
    note_answered(server);
    request_since_ = context_.loop.now();
  }
  last_active_ = context_.loop.now();
  maybe_release();
  resume();
}

// When nothing is under way any more: gives the server back, asks it what the transaction left behind, or keeps it.
void Session::maybe_release() {
  if (server_ == nullptr || !server_->quiet()) return;
  if (elsewhere_ != Elsewhere::kNo) return send_elsewhere();
  requests_ = sent_again_ = 0;
  control_ = Control::kNone;
  ends_sent_ = ends_seen_ = moving_ = false;
  if (server_->holds > 0) return;
  parses_ours_ = false;
  if (!changes_.empty() || discards_) names_are_settled();
  if (leaving_) return end();
  const bool waited = std::exchange(waiting_quiet_, false);
  if (waited) waiting_ = false;
  const bool idle = batch_start_ && server_->status() == pgwire::TxnStatus::kIdle && !(body_left_ > 0 && body_goes_);
  if (idle && std::exchange(catalog_changed_, false)) {
    ++context_.shared.counters.catalog_changes;
    context_.router->note_change(database(), std::exchange(new_code_, {}));
  }
  if (idle) set_locally_ = false;
  if (idle && wrote_) {
    wrote_ = false;
    last_write_ns_ = context_.router->note_write();
  }
  const bool pooled = !dedicated_ && mode_ != PoolMode::kSession;
  if (idle && (pooled || resets_to_its_own())) {
    if (truth_needed_) {
      truth_needed_ = false;
      // What the client sends next must find the session as the answer will say it is.
      waiting_ = waiting_quiet_ = true;
      wait_until_ = Deadline::never();
      server_->ask(Purpose::kTruth, truth_query(false));
      return server_->flush();
    }
    if (std::exchange(ready_held_, false)) send_ready();
    if (pooled && pinned_.empty()) release();
  }
  if (waited || !in_.empty()) resume();
}

// On the server a reset means the value it gave at login, but the startup packet may have asked for another. Where a
// server changes hands that is seen to anyway.
bool Session::may_reset_to_its_own() const { return mode_ == PoolMode::kSession && !dedicated_ && !base_->empty(); }

bool Session::resets_to_its_own() const {
  if (!may_reset_to_its_own()) return false;
  return reset_all_ || std::any_of(reset_names_.begin(), reset_names_.end(),
                                   [this](const std::string& name) { return base_->count(name) != 0; });
}

void Session::release() {
  Server& server = *server_;
  server_ = nullptr;
  if (!kept_.empty()) drop_kept();
  server.kept = std::exchange(drew_number_, false);
  --server.node().gauge->busy;
  ++context_.stats.transactions;
  ++pool_->traffic.transactions;
  pool_->traffic.transaction_us += microseconds(context_.loop.now() - server.busy_since);
  pool_->give_back(server);
  update_interest();  // it may have been too slow for what the client sends
}

void Session::log_slow(std::chrono::nanoseconds took) {
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(took).count();
  log::info("slow", {{"ms", std::to_string(ms)},
                     {"node", route_node_},
                     {"user", user()},
                     {"database", database()},
                     {"client", peer_},
                     {"reason", route_reason_},
                     {"text", slow_text_.empty() ? "(not shown)" : slow_text_}});
}

// `as_itself`: whatever time-out and role the client has set, which may hide what only superusers see.
std::string Session::truth_query(bool as_itself) const {
  std::string sql, setting = "setting", role = "role";
  if (as_itself) {
    sql = std::string("SELECT pg_catalog.set_config('") + kSaved +
          "', pg_catalog.current_setting('statement_timeout'), true), pg_catalog.set_config('" + kSavedRole +
          "', pg_catalog.current_setting('role'), true);SET LOCAL statement_timeout = 0;SET LOCAL ROLE NONE;";
    setting = std::string("CASE name WHEN 'statement_timeout' THEN pg_catalog.current_setting('") + kSaved +
              "') ELSE setting END";
    role = kSavedRole;
  }
  sql += kTruthPins + quote_literal(user());
  sql += " UNION ALL SELECT 'set', name, " + setting +
         " FROM pg_catalog.pg_settings WHERE source = 'session'"
         " AND name NOT IN ('transaction_isolation', 'transaction_read_only', 'transaction_deferrable')";
  sql += " UNION ALL SELECT 'set', 'role', pg_catalog.current_setting('" + role +
         "') WHERE pg_catalog.current_setting('" + role + "') <> 'none'";
  for (const std::string& name : custom_names_) {
    sql += " UNION ALL SELECT 'set', " + quote_literal(name) + ", pg_catalog.current_setting(" + quote_literal(name) +
           ", true) WHERE pg_catalog.current_setting(" + quote_literal(name) + ", true) IS NOT NULL";
  }
  return sql;
}

void Session::adopt_truth(InternalAnswer answer) {
  truth_owed_ = false;
  Parameters now;
  std::string pin;
  for (const auto& row : answer.rows) {
    if (row.size() < 3 || !row[0] || !row[1]) continue;
    if (*row[0] == "pin") {
      if (pin.empty()) pin = *row[1];
    } else if (row[2]) {
      now[lower(*row[1])] = *row[2];
    }
  }
  if (pinned_.empty() && (!pin.empty() || !sticky_pin_.empty())) ++context_.stats.pins;
  // Values in another encoding cannot be carried over in one message with it.
  const bool plain = now.count("client_encoding") == 0 || now["client_encoding"] == "UTF8" ||
                     std::all_of(now.begin(), now.end(), [](const auto& item) { return is_ascii(item.second); });
  if (!plain && pin.empty()) pin = "it has parameters that are not ASCII, and a client_encoding that is not UTF8";
  pinned_ = !pin.empty() ? pin : sticky_pin_;
  // On the server a reset means the value it gave at login; in the session, the one it began with.
  const ParameterSetPtr there = context_.shared.sets.intern(now);
  for (const auto& [name, value] : *base_) {
    const bool reset = reset_all_ || std::find(reset_names_.begin(), reset_names_.end(), name) != reset_names_.end();
    const auto left = now.find(name);
    // What is not set any more was reset, whatever the text looked like; but a role may be given up by SET ROLE NONE,
    // and a parameter of an extension stays, as the empty text.
    const bool gone = left == now.end() && (reset || name != "role");
    const bool emptied = left != now.end() && left->second.empty() && reset && name.find('.') != std::string::npos;
    if (gone || emptied) now[name] = value;
  }
  reset_all_ = false;
  reset_names_.clear();
  server_->set_parameters(there);
  parameters_ = context_.shared.sets.intern(std::move(now));
  if (parameters_ == there) return;
  change_parameters(*server_, *there, Purpose::kRestore);
  server_->flush();
}

void Session::server_answered(Server& server, Purpose purpose, InternalAnswer answer) {
  const bool too_late = answer.error && answer.error->sqlstate == sqlstate::kQueryCanceled;
  if (purpose == Purpose::kTruth && (too_late || tells_of_role(answer))) {
    server.ask(Purpose::kTruthAgain, truth_query(true));
    return server.flush();
  }
  if (answer.error) {
    if (purpose == Purpose::kApply && takes_another_server(server, *answer.error)) return;
    if (state_ == State::kGreeting) {  // the startup packet asks for a parameter that there is not
      answer.error->severity = "FATAL";
      std::string bytes;
      pgwire::encode(bytes, *answer.error);
      client_.append(bytes);
      server.retire = true;
      ++context_.shared.counters.refused_total;
      return close_after_flush();
    }
    if (purpose == Purpose::kTruth || purpose == Purpose::kTruthAgain) return keep_untold_server();
    server.retire = true;
    return fail(sqlstate::kInternalError, "the session's state could not be carried over to another server",
                pgwire::describe(*answer.error));
  }
  if (state_ == State::kGreeting) {
    if (!server.quiet()) return;  // what went before is taken back; the parameters asked for come next
    context_.shared.greetings.tell(user(), database(), parameters_, server.reported());
    greet(server.reported());
  } else if (purpose == Purpose::kTruth || purpose == Purpose::kTruthAgain) {
    adopt_truth(std::move(answer));
  } else if (may_refuse_) {
    if (!server.quiet()) return;
    may_refuse_ = waiting_ = waiting_quiet_ = false;
    resume();
    return update_interest();
  }
  maybe_release();
  update_interest();
}

// The server does not say what the last transaction left behind: it ran out of a time limit that the client has set, or
// may not look into a view. Nothing is lost while it stays with this session; it is asked again after the next request.
void Session::keep_untold_server() {
  server_->tainted = untold_ = true;
  pinned_ = kUntold;
  maybe_release();
  update_interest();
}

}  // namespace pgb::proxy
