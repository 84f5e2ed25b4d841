// One client, from accept to close. Lives on one reactor's thread. Between its transactions it has no server; for each
// one it is routed, borrows a server from the pool, gives it the session's parameters, and gives it back.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/deadline.h"
#include "net/address.h"
#include "pgwire/startup.h"
#include "proxy/client_input.h"
#include "proxy/client_statements.h"
#include "proxy/link.h"
#include "proxy/pool.h"
#include "proxy/reactor_context.h"
#include "proxy/router.h"
#include "proxy/server.h"
#include "proxy/session_login.h"

namespace pgb::proxy {

inline constexpr char kUntold[] = "the server could not say what the session left behind";
inline constexpr char kHeldCursor[] = "it has a cursor WITH HOLD";  // why a server stays with a session

class Session final : public net::Pollable, public ServerUser, public PoolClient, public ServerOwner {
 public:
  enum class State : uint8_t {
    kStartup,         // first packets, TLS
    kLookup,          // waits for the user's secret
    kAuthenticating,  // the client proves who it is
    kGreeting,        // waits for a server that says which parameters the session begins with
    kReady,
    kConsole,     // asks the balancer itself; there is no pool and no server
    kCancelling,  // the client wanted to cancel another session's query, and nothing else
    kClosing,     // last words are under way to the client
    kClosed,
  };
  static const char* name(State state);
  static bool may_follow(State from, State to);

  Session(uint64_t id, os::UniqueFd client, ReactorContext& context);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  void start();        // begins to read; call once
  void on_topology();  // the context's topology is a new one
  void shut_down();    // the balancer stops: says so to the client and ends at once
  void on_orders();    // the context's orders are new ones; may be called again at any time
  // An operator ends this session: the client is told (57P01).
  void dismiss(const std::string& message, const std::string& detail);
  ClientRow row() const;
  std::string row_id() const;
  std::string bound_by() const;  // why its server stays with it; empty: it does not
  bool is_at(const std::string& database) const { return pool_ != nullptr && pool_->database() == database; }
  bool has_server_of(const std::string& node) const { return server_ != nullptr && server_->node().name == node; }
  bool is_at_console() const { return state_ == State::kConsole; }
  bool is_dedicated() const { return dedicated_ != nullptr; }
  void tick();  // time-outs; called about ten times a second while it waits, else about once a second
  bool is_waiting() const { return waiting_; }
  State state() const { return state_; }

  // A cancel request named this session. When something is to be cancelled at a server, that server is not given to
  // anybody else until release_hold().
  struct CancelTarget {
    net::Address address;
    uint32_t pid = 0;
    std::string key;
    net::TlsToServer tls;
    std::string tls_host;
  };
  std::optional<CancelTarget> cancel_wanted();
  void release_hold();

  void on_events(uint32_t events) override;

 private:
  using Step = ClientStep;
  using Input = ClientInput;
  // session.cc: state, ends, bytes out
  void transition(State to);
  void update_interest();
  void send_client(std::string_view bytes);
  void fail(std::string_view sqlstate, const std::string& message, const std::string& detail = {});
  void close_after_flush();
  void end();
  void drop_server();
  void tick_idle();
  void tick_busy();
  void query_timed_out();
  void query_ended(Pool::WorkEnd how);
  void arm(std::chrono::milliseconds wait, void (Session::*action)());
  void disarm();
  void linger();
  const std::string& user() const;
  const std::string& database() const;

  // session_startup.cc: the client's login
  void read_login();
  void first_packets();
  bool first_packet(const pgwire::FirstPacket& packet);
  bool accept_tls(bool more_bytes_came);
  bool begins_tls(std::string_view bytes) const;
  void start_tls(const net::TlsContext& tls, std::string_view early);
  bool is_secure_enough();
  void lost_in_login();
  void startup(const pgwire::StartupMessage& message);
  bool note_replication();
  void negotiate(const pgwire::StartupMessage& message);
  void login_timed_out();
  bool take_place();
  void find_greeting();
  void greet(const std::map<std::string, std::string>& reported);
  void open_dedicated();
  void cancel(const pgwire::CancelRequest& request);
  static void look_for_cancel(ReactorContext& theirs, uint64_t id, unsigned me, uint64_t mine);
  void cancel_elsewhere(const pgwire::CancelRequest& request);
  void on_cancel_target(std::optional<CancelTarget> target, unsigned reactor, uint64_t session);

  // session_auth.cc: is the client who it says it is?
  void begin_authentication();
  bool find_method();
  bool check_certificate(ClientCert wanted);
  void refuse(const HbaClient& client, bool no_rule);
  void on_secret(AuthDirectory::Answer answer);
  void ask_for_proof(const std::string& bytes);
  void auth_messages();
  void authenticated(const std::string& last_words);
  bool take_client();

  // session_input.cc: what the client sends
  void read_client();
  void resume();
  size_t process(std::string_view bytes);
  Step step(Input& in);
  Step begin(Input& in, size_t total);
  Step boundary(Input& in, size_t total);
  Step forward(Input& in, size_t total);
  Step terminate(Input& in, size_t total);
  Step skip_step(Input& in, size_t total);
  void pass_on(Input& in, size_t total);
  void drop(Input& in, size_t total);
  void put(Input& in, std::string_view instead, size_t total);
  bool pooled() const;
  bool choked() const;
  void hung_up();
  void send_ready();
  void skip_request(std::string_view sqlstate, const std::string& message, const std::string& detail);

  // session_orders.cc: what an operator wants of it
  bool is_kept_back() const;
  Deadline queue_limit() const;
  Step keep_back();
  bool waits_here();
  bool is_held() const { return waiting_ && !waiting_quiet_ && server_ != nullptr; }
  bool is_between_transactions() const;
  void kept_back_too_long();
  void log_connection(std::string_view what) const;
  void shuts_down();

  // session_look.cc: what a request means
  static bool may_begin_request(char tag);
  bool look_at_request(std::string_view rest, size_t total, Look& look, std::string& refusal);
  bool look_at_batch(std::string_view bytes, Look& look, std::string& refusal);
  std::string_view query_text(std::string_view message) const;
  bool is_read_as_written();  // whether the server finds the words in a text that our parser finds
  Look look_at(std::string_view text);
  Look look_at_statement(std::string_view name);
  Look look_at_unnamed();
  bool answer_ourselves(Input& in, const sql::Verdict& verdict, size_t total);
  bool deallocate(const sql::Verdict& verdict);
  std::string refusal_by_mode(const sql::Verdict& verdict) const;  // empty: it is not refused
  bool refused_by_mode(const std::string& refusal);
  void note_effects(const Look& look);
  void note_unseen(const Look& look);
  void note_custom(const std::string& name);
  void stick(const char* why);
  void unstick();
  void note_effect(const sql::Effect& effect);
  void note_sequences(const Look& look, bool first);
  void note_sequences(const Look& look, bool changes, bool first);
  void note_discard();
  void note_code(const Look& look);
  void note_text(std::string_view message, size_t total);
  std::string_view text_of(std::string_view message) const;

  // session_console.cc: what the balancer itself is asked
  bool asks_for_console() const;
  void open_console();
  void read_console();
  bool console_may_read() const;
  void console_goes_on();
  void ask_console(const ConsoleAsker& asker, const std::string& text);
  void console_answered(ConsoleAnswer answer);

  // session_insight.cc: where requests go, and why, and how long they take
  void note_answered(const Server& server);
  bool answer_question(std::string_view text);
  bool answer_if_asked(Input& in, std::string_view text, size_t total);
  void explain_route(std::string_view text);
  void send_rows(const std::vector<std::string>& columns, const std::vector<std::string>& values, std::string_view tag);
  bool refuse_write_where_it_is_bound(const Look& look);

  // session_prepared.cc: queries and prepared statements
  Step query(Input& in, std::string_view message, size_t total);
  Step parse(Input& in, std::string_view message, size_t total);
  Step parse_as_it_is(Input& in, std::string_view message, const std::string_view* name, size_t total, bool first);
  void parse_again(Input& in, const PreparedStatement& statement, std::string_view name, size_t total, uint32_t change);
  Step bind_as_it_is(Input& in, std::string_view name, size_t total, bool first);
  void begin_unnamed(std::string_view body, size_t total);
  void keep_unnamed(std::string_view body);
  bool is_unnamed_opaque() const;
  bool parse_deallocate(Input& in, size_t total);
  Step bind(Input& in, std::string_view message, size_t total);
  Step describe_or_close(Input& in, std::string_view message, size_t total);
  void expect_anything();
  bool refuses(const PreparedStatement& statement);
  void make_room(std::string& out);
  void prepare(const PreparedStatement& statement, Expectation::Kind kind, std::string& out, uint32_t change = 0);
  PreparedPtr statement_for(std::string_view body);
  bool knows_what_is_set() const { return !truth_needed_ && !untold_ && !set_locally_; }
  const PreparedStatement& ensure_prepared(ClientStatement& statement, std::string& out);
  void ensure_unnamed(Input& in);

  // session_names.cc: the names of prepared statements
  bool is_confirmed(std::string_view statement) const;
  uint32_t note_change(std::string_view name);
  void take_back(const NameChange& change);
  void names_are_settled();

  // session_server.cc: the server that it has at the moment
  Step acquire(const Look& look);
  const NodeView* choose(const Look& look);
  void note_route(std::string_view reason, ReasonId counted_as);
  void attach(Server& server);
  void release();
  bool may_reset_to_its_own() const;
  bool resets_to_its_own() const;
  void maybe_release();
  void adopt_truth(InternalAnswer answer);
  void log_slow(std::chrono::nanoseconds took);
  std::string truth_query(bool as_itself) const;
  void keep_untold_server();

  // session_read_only.cc: what a READ ONLY transaction may ask of the replica where it began
  struct AtReplica {
    bool fits = true;     // it may be asked there
    bool neutral = true;  // whatever it says, another server would do as well afterwards
    bool whole = true;    // all of the request was looked at
    std::string_view reason;
    std::string said;  // the reason, where nothing else holds its text
  };
  void judge(const Look& look, AtReplica& so_far);
  AtReplica judge_request(std::string_view rest, size_t total);
  void note_at_replica(const Look& look);
  bool may_read_on() const;
  Step go_on_at_replica(Input& in, size_t total, const Look& look);
  Step go_on_elsewhere(const Look& look);
  void begin_again(Server& server);
  bool refuse_at_replica(const AtReplica& judged);
  bool refuses_unseen(const Look& look);

  // session_lost.cc: its server is gone, and it goes on
  void note_request(const Input& in);
  void keep_request(const Input& in);
  void drop_kept();
  void note_meaning(const Look& look);
  bool can_go_on(const Server& server) const;
  bool may_be_sent_again(const Loss& loss) const;
  void forget_request(Server& server);
  void take_up_kept();
  void send_again();
  void tell_of_loss(Server& server, const Loss& loss);
  void send_error(std::string_view sqlstate, const std::string& message, const std::string& detail);
  Step lost_step(Input& in, size_t total);
  Step refuse_in_lost(Input& in, size_t total, const sql::Verdict* verdict);
  void hold_or_not(const NodeView* node);
  bool is_at_former_primary() const;
  void waited_too_long();

  // session_again.cc: a server has refused it, and another one is asked
  void note_refusal(const pgwire::ErrorResponse& error);
  void send_elsewhere();
  void renew_plans();
  void give_parameters(Server& server, bool tainted, bool used);
  void change_parameters(Server& server, Parameters from, Purpose purpose);
  bool takes_another_server(Server& server, const pgwire::ErrorResponse& error);

  // ServerUser
  void server_says(std::string_view bytes) override;
  bool congested() const override { return client_.congested(); }
  void server_drained() override;
  void server_skips() override;
  void server_ready(Server& server) override;
  void server_skipped(uint32_t change, bool failed) override;
  void server_answered(Server& server, Purpose purpose, InternalAnswer answer) override;
  bool holds_ready(Server& server) override;
  bool outlives(Server& server) override;
  bool goes_elsewhere(Server& server, const pgwire::ErrorResponse& error) override;
  void server_lost(Server& server, const Loss& loss) override;
  // PoolClient
  void server_given(Server& server) override;
  void server_refused(const std::string& why, const pgwire::ErrorResponse* error) override;
  void node_changed() override;
  uint64_t pool_client_id() const override { return id_; }
  // ServerOwner, of a server that is this session's alone (replication)
  void server_logged_in(Server& server) override;
  void server_failed(Server& server, const std::string& why, const pgwire::ErrorResponse* error) override;
  void server_closed(Server& server) override;

  const uint64_t id_;
  ReactorContext& context_;
  State state_ = State::kStartup;
  Link client_;
  net::EventLoop::Timer timer_ = 0;
  std::string peer_;
  std::unique_ptr<SessionLogin> login_ = std::make_unique<SessionLogin>();
  bool counted_client_ = false;
  bool has_place_ = false;   // of its user and database
  uint32_t cancel_pid_ = 0;  // in the registry; 0 if none

  std::unique_ptr<AtConsole> console_;  // kConsole
  bool asking_ = false;                 // the console: nothing is looked at before it has answered

  Pool* pool_ = nullptr;
  PoolMode mode_ = PoolMode::kTransaction;  // as it was at the login: a reload is for sessions to come
  std::unique_ptr<Server> dedicated_;       // instead of the pool's
  Server* server_ = nullptr;
  bool waiting_ = false;        // for a server; nothing of the client's is looked at meanwhile
  bool waiting_quiet_ = false;  // for the end of what is under way, to be routed anew
  bool queued_ = false;         // stands in the pool's queue
  Deadline wait_until_ = Deadline::never();
  std::optional<Deadline> held_until_;  // while it waits and there is no primary
  Look routed_;                         // what it waits for
  bool routed_replica_ = false;
  net::EventLoop::Clock::time_point made_, last_active_;
  net::EventLoop::Clock::time_point transaction_since_;
  net::EventLoop::Clock::time_point request_since_;  // of the oldest one that is under way

  net::Buffer in_;  // of the client's, not dealt with yet
  bool processing_ = false;
  size_t body_left_ = 0;  // of a message that is passed on or dropped as it comes
  bool body_goes_ = false;
  bool body_ended_ = false;  // in the round under way
  bool batch_start_ = true;  // the next message begins a request
  bool skipping_ = false;    // a request that was refused: dropped up to its end
  bool flush_asked_ = false;
  bool leaving_ = false;  // the client said goodbye; what it asked for before is still under way
  bool gone_ = false;     // nothing more comes from it
  bool ending_ = false;   // its request took too long, and the server is being told
  bool cut_ = false;      // then: the client has the beginning of a message
  Look last_look_;        // of last_text_, while the same bytes are looked at again
  const char* last_text_ = nullptr;
  size_t last_size_ = 0;

  std::string route_node_, route_reason_;  // of the last request that was routed
  ReasonId counted_as_ = reason::kLogin;   // the same reason
  uint64_t transactions_ = 0;
  std::string slow_text_;  // of the request under way, for the log

  ParameterSetPtr parameters_;                                      // of this session, to be given to each server
  ParameterSetPtr base_;                                            // those it began with
  std::string default_strings_ = "on", default_encoding_ = "UTF8";  // as reported at the login
  std::string default_isolation_;                                   // as a replica has let us know
  ParameterSetPtr judged_parameters_;                               // those that the next three speak of
  ParameterSetPtr parsed_under_;                                    // what a server parses its statements under
  bool read_as_written_ = true;
  bool serializable_ = false;              // its transactions are, unless they say otherwise
  std::vector<std::string> custom_names_;  // parameters of extensions that were set: a server does not list them
  std::vector<std::string> reset_names_;
  bool reset_all_ = false;
  bool set_locally_ = false;    // the transaction under way has set some of for_parsing() for itself
  bool truth_needed_ = false;   // ask the server what the transaction left behind
  bool untold_ = false;         // it was asked and could not say
  std::string pinned_;          // why the server stays with this session; empty: it does not
  std::string sticky_pin_;      // the same, for what a server does not tell
  bool wrote_ = false;          // in the transaction under way
  bool drew_number_ = false;    // of a sequence, in the transaction under way: it may ask for it afterwards
  bool draws_numbers_ = false;  // it did so before
  bool catalog_changed_ = false;
  std::vector<std::string> new_code_;  // functions in C that the transaction under way made
  int64_t last_write_ns_ = 0;
  int64_t no_replica_until_ns_ = 0;

  // What the request under way means if its server is lost. Counted are requests since nothing was under way.
  enum class Control : uint8_t { kNone, kBegin, kEnd };
  static constexpr size_t kNothing = SIZE_MAX;
  net::Buffer kept_;             // the only request, as it came, while it may go to another server: nothing is answered
  size_t kept_from_ = kNothing;  // where it stands in the bytes under way
  uint64_t kept_at_ = 0;         // Server::sent() before it
  unsigned requests_ = 0;
  unsigned sent_again_ = 0;  // how often this one was, though it may have been executed
  enum class Elsewhere : uint8_t { kNo, kPrimary, kNewPlan };
  Elsewhere elsewhere_ = Elsewhere::kNo;  // where the only request goes as soon as the server is through with it
  bool to_primary_ = false;               // the next one, wherever its text would go
  bool new_names_ = false;                // statements that it names were never used before
  bool may_refuse_ =
      false;            // the server was asked for what another one may do: nothing else is sent before it has done it
  bool fresh_ = false;  // the server has seen no request of this session since it came
  bool only_reads_ = false;           // the only request does
  bool plain_ = false;                // it does nothing but what ends with its transaction
  Control control_ = Control::kNone;  // the last thing that the requests say of the transaction
  bool ends_seen_ = false;            // one of them ends it
  bool ends_sent_ = false;            // one of them may have committed it
  bool ready_held_ = false;           // the client waits for it until the server has said what was left behind
  bool truth_owed_ = false;           // it was not made to wait: whatever the session is now, it knows better than we
  std::vector<std::string> begun_;    // what a READ ONLY transaction at a replica has said so far; empty: it has asked
  bool moving_ = false;               // that is to be said again at the primary
  bool unjudged_ = false;             // a request there goes on before all of it was seen
  std::string lost_;                  // of an open transaction whose server is gone: how; the client has yet to end it
  bool lost_told_ = false;

  ClientStatements statements_;
  std::vector<NameChange> changes_;  // that may be skipped yet, oldest first
  uint32_t last_change_ = 0;
  bool parses_ours_ = false;  // a Parse or Close that we put in is under way, and may be skipped, too
  bool discards_ = false;     // a DISCARD ALL or DEALLOCATE ALL is under way
  bool discards_all_ = false;
  uint32_t discarded_at_ = 0;   // of the changes; what was prepared later stays
  uint64_t errors_before_ = 0;  // of the server's, when it was sent
  std::string unnamed_body_;    // empty, though there is one: too long to be kept
  uint64_t unnamed_ = 0;        // number of the unnamed statement's text; 0: there is none
  bool keeps_unnamed_ = false;  // of a text that comes in pieces: what follows of the message belongs to it
};

}  // namespace pgb::proxy
