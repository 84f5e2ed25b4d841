// One connection to a PostgreSQL server, from connect to close. It knows what it still has to answer, what state the
// server's session is in, and whom it serves at the moment. Lives on one reactor's thread, and moves to another one
// only while it is idle (detach, attach).
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "net/address.h"
#include "pgwire/auth_client.h"
#include "pgwire/error_response.h"
#include "pgwire/framer.h"
#include "pgwire/messages.h"
#include "proxy/expectations.h"
#include "proxy/link.h"
#include "proxy/parameter_set.h"
#include "proxy/prepared.h"
#include "proxy/reactor_context.h"
#include "proxy/tls_upgrade.h"

namespace pgb::proxy {

class Server;

// Why we asked a server something ourselves.
enum class Purpose : uint8_t {
  kApply,       // gives it the parameters of the session it serves
  kRestore,     // the same, with values that the client does not know yet
  kTruth,       // what has the session left behind?
  kTruthAgain,  // the same, after the session's own time-out hit the question
  kClean,       // takes everything away that a session left behind
  kCheck,       // is it alive?
};

struct InternalAnswer {
  std::vector<std::vector<std::optional<std::string>>> rows;
  std::optional<pgwire::ErrorResponse> error;
};

// How a server ended, and what that means for what it had been asked.
struct Loss {
  std::string why;        // the beginning of a sentence
  bool said_why = false;  // its last message was a fatal error, and was passed on
  std::string words;      // what it said of its end, where that was not passed on
  bool aborted = false;   // these were a fatal error: what it had not answered by then it has not committed
  uint64_t received = 0;  // no more of what was sent (Server::sent()) has reached it while it could read
};

// Whom a server serves: a session, or for a moment its pool. Calls come on the server's thread.
class ServerUser {
 public:
  virtual void server_says(std::string_view bytes) = 0;  // to be passed on to the client
  virtual bool congested() const = 0;                    // the client is slow: read no more for it
  virtual void server_drained() = 0;                     // it takes again what we send
  virtual void server_skips() {}  // after an error it throws away what comes, up to a Sync that it has not got yet
  virtual void server_ready(Server& server) = 0;  // a ReadyForQuery for the client was passed on, or held
  // A ReadyForQuery has come. True: it is not passed on; the user tells the client itself, when it is time.
  virtual bool holds_ready(Server& /*server*/) { return false; }
  // The server says that it is shut down. True: that is not passed on, for the client goes on without it.
  virtual bool outlives(Server& /*server*/) { return false; }
  // An error of the request under way. True: neither it nor anything else up to the next ReadyForQuery is passed on;
  // then server_ready() comes, and the user has the request done elsewhere.
  virtual bool goes_elsewhere(Server& /*server*/, const pgwire::ErrorResponse& /*error*/) { return false; }
  // After an error the server did not do what this expectation's `change` stands for; `failed`: it was the one that
  // failed.
  virtual void server_skipped(uint32_t /*change*/, bool /*failed*/) {}
  virtual void server_answered(Server& server, Purpose purpose, InternalAnswer answer) = 0;
  virtual void server_lost(Server& server, const Loss& loss) = 0;  // it is closed

 protected:
  ~ServerUser() = default;
};

// Who made the server and gets it back.
class ServerOwner {
 public:
  virtual void server_logged_in(Server& server) = 0;
  // `error`: what the server itself said, when it refused the login.
  virtual void server_failed(Server& server, const std::string& why, const pgwire::ErrorResponse* error) = 0;
  virtual void server_closed(Server& server) = 0;  // after the login; its user knows already

 protected:
  ~ServerOwner() = default;
};

struct ServerLogin {
  std::string user;
  std::string database;
  pgwire::Credentials known;
  std::map<std::string, std::string> more;  // startup parameters beside user and database
};

class Server final : public net::Pollable {
 public:
  enum class State : uint8_t { kConnecting, kTls, kLogin, kReady, kClosed };

  Server(ReactorContext& context, ServerOwner& owner, const NodeView& node, ServerLogin login);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // Begins to connect. A failure comes as server_failed(), never from inside this call.
  void connect();
  void close();                                        // silently: no call comes any more
  void abandon(const std::string& why) { lost(why); }  // its user is told as if it had ended by itself

  State state() const { return state_; }
  const NodeView& node() const { return node_; }
  const net::Address& address() const { return address_; }
  uint32_t pid() const { return pid_; }
  const std::string& key() const { return key_; }
  // How this connection came about: for another one to the same server that must not be easier to listen to.
  const net::TlsToServer& tls() const { return tls_; }

  ServerUser* user() const { return user_; }
  void serve(ServerUser* user);  // nobody: null

  // --- sending; none of these waits. Bytes go out with flush(), or with send() at once.
  void expect(Expectation entry);
  void append(std::string_view bytes);
  void send(std::string_view bytes);
  void flush();
  void ask(Purpose purpose, const std::string& sql);  // append()s; answered by ServerUser::server_answered
  void local_answers();                               // gives the client what we answer ourselves and what is due
  bool is_behind() const { return expected_.size() > kMaxBacklog; }  // with answers: no more is read for it
  bool congested() const { return link_.congested(); }
  void resume();  // the client has room again

  // --- state of the server's session
  bool owes_client() const;  // an answer that is not to a question of our own
  bool sent_all() const { return !link_.blocked(); }
  bool mid_message() const { return body_left_ > 0 || !carry_.empty(); }  // of what it answers
  bool passes_message() const { return body_left_ > 0 && body_passes_; }  // the client has the beginning of it
  uint64_t sent() const { return sent_; }  // bytes that it was given by append() and send(), since ever
  size_t owed() const;                     // ReadyForQuery that the client waits for
  size_t expects(Expectation::Kind kind) const;
  // Once it is lost: tells that nothing more will be answered, see ServerUser::server_skipped().
  void skip_all(ServerUser& user);
  // What it has sent has not all been looked at: it is about to say something that nobody asked for, most likely its
  // end.
  bool says_more() const { return says_more_; }
  bool skipping() const { return skipping_; }
  bool wants_copy() const { return copy_in_; }  // waits for data of the client, and for their end
  bool quiet() const { return expected_.empty() && !skipping_; }
  pgwire::TxnStatus status() const { return status_; }
  bool works_for_us() const { return !expected_.empty() && expected_.front().kind == Expectation::Kind::kInternal; }
  bool has_failed() const;  // its transaction, and nothing that may end it is on its way
  bool idle() const { return quiet() && status_ == pgwire::TxnStatus::kIdle; }
  const ParameterSetPtr& parameters() const { return parameters_; }
  void set_parameters(ParameterSetPtr parameters) { parameters_ = std::move(parameters); }
  const std::map<std::string, std::string>& reported() const { return reported_; }  // ParameterStatus

  // Prepared statements on this server, by id.
  bool has(uint64_t statement) const { return prepared_.count(statement) != 0; }
  void touch(uint64_t statement) { prepared_[statement] = ++use_; }
  // False, and nothing happens, if it is not there.
  bool touch_known(uint64_t statement) {
    const auto found = prepared_.find(statement);
    if (found != prepared_.end()) found->second = ++use_;
    return found != prepared_.end();
  }
  void forget(uint64_t statement) { prepared_.erase(statement); }
  void forget_all();  // they may be there or not: names that were used are not used again
  size_t prepared() const { return prepared_.size(); }
  uint64_t least_used() const;
  void name_of(uint64_t statement, std::string& out) const;  // what it is called there; replaces `out`
  // Whose text the unnamed statement is: a number that a session gives; 0: nobody's.
  uint64_t unnamed = 0;
  uint64_t last_session = 0;  // whom it served last
  // The session that all numbers of sequences are from that currval() and lastval() know here.
  static constexpr uint64_t kNobody = 0, kMany = UINT64_MAX;
  uint64_t numbers_of = kNobody;
  bool kept = false;     // while it is idle: that session may want to ask for them, see Pool::get()
  bool tainted = false;  // its parameters may be others than we know: nobody saw what set them
  bool retire = false;   // to be closed instead of going back to the pool
  uint64_t errors = 0;   // that it has told a client
  unsigned holds = 0;    // cancel requests under way: it must not serve another one until they are through
  net::EventLoop::Clock::time_point made, idle_since, busy_since;
  net::EventLoop::Clock::time_point asked;  // our last question

  // To another reactor: no events come in between. Only while it serves nobody and is idle.
  void detach();
  void attach(ReactorContext& context, ServerOwner& owner);

  void on_events(uint32_t events) override;

 private:
  static constexpr size_t kMaxBacklog = 10'000;

  enum class Fate : uint8_t { kPass, kSwallow };

  // server.cc
  void fail(const std::string& why, const pgwire::ErrorResponse* error = nullptr);
  // `in_order`: the server closed the connection, rather than that it broke.
  void lost(const std::string& why, bool in_order = false);
  uint64_t received(bool in_order) const;
  void update_interest();

  // server_login.cc
  void connected();
  void encrypt();
  void begin_login();
  void refused(const std::string& why, const std::string& hint = {});
  void connect_timed_out();
  void read_login();
  bool login_message(const pgwire::Step& step);
  bool authentication(std::string_view payload);

  // server_relay.cc
  void read_some();
  void consume(std::string_view bytes);
  bool wants_whole(char tag) const;
  bool local_is_next() const;
  Fate on_message(char tag, std::string_view raw);
  Fate expected_answer(Expectation::Kind kind);
  Fate on_error(std::string_view raw);
  void forget_old_plans();
  bool is_taken_back(const pgwire::ErrorResponse& error);
  void foresee(std::string_view rest);
  Fate on_notice(std::string_view raw);
  bool is_end(const pgwire::ErrorResponse& error);
  Fate on_ready(std::string_view raw);
  void on_copy_in();
  void skip_to_sync();
  void after_message();
  void pass(std::string_view bytes);
  Fate internal_message(char tag, std::string_view raw);

  ReactorContext* context_;
  ServerOwner* owner_;
  const NodeView node_;
  ServerLogin login_;
  net::Address address_;
  State state_ = State::kConnecting;
  Link link_;
  net::EventLoop::Timer timer_ = 0;
  net::TlsToServer tls_;
  std::optional<TlsUpgrade> upgrade_;  // kTls
  pgwire::Framer framer_;              // kLogin
  std::optional<pgwire::AuthClient> auth_;
  bool authenticated_ = false;
  uint32_t pid_ = 0;
  std::string key_;

  ServerUser* user_ = nullptr;
  Expectations expected_;
  std::deque<Purpose> purposes_;  // of the kInternal ones
  InternalAnswer answer_;
  bool copy_in_ = false;
  bool skipping_ = false;     // an error: the server throws away what comes until Sync
  bool taking_back_ = false;  // its user has the request done elsewhere: nothing is passed on
  bool ready_ = false;        // the message under way was a ReadyForQuery for the client
  std::optional<Purpose> answered_;
  pgwire::TxnStatus status_ = pgwire::TxnStatus::kIdle;
  bool said_fatal_ = false;
  bool says_more_ = false;
  bool ends_ = false;       // it said so, and its user goes on without it
  std::string last_words_;  // of that, and of a warning that the client was not given
  uint64_t sent_ = 0;

  std::string carry_;     // a message that has not come whole and must be looked at
  size_t body_left_ = 0;  // of a message that is only passed on or swallowed
  bool body_passes_ = false;

  ParameterSetPtr parameters_;
  std::map<std::string, std::string> reported_;
  std::unordered_map<uint64_t, uint64_t> prepared_;  // id to when it was used
  uint64_t use_ = 0;
  uint64_t generation_ = 0;  // of the names
  uint64_t orphans_ = 0;     // statements that are there, perhaps, under names of earlier generations
};

}  // namespace pgb::proxy
