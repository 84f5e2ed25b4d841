// One client and the server connection that serves it, from accept to close. Lives on one reactor's
// thread; what it waits for are events of its two sockets, two timers, a verifier and a topology.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "base/deadline.h"
#include "net/address.h"
#include "net/buffer.h"
#include "net/stream.h"
#include "pgwire/auth_client.h"
#include "pgwire/auth_server.h"
#include "pgwire/framer.h"
#include "pgwire/startup.h"
#include "proxy/message_walk.h"
#include "proxy/reactor_context.h"

namespace pgb::proxy {

class Session {
 public:
  enum class State {
    kStartup,         // first packets, TLS
    kLookup,          // waits for the user's verifier
    kAuthenticating,  // SCRAM with the client
    kFindingPrimary,  // waits for a server to connect to
    kConnecting,
    kServerLogin,  // SCRAM with the server, its parameters
    kRelay,
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

  // Begins to read; call once.
  void start();
  // The context's topology is a new one.
  void on_topology();
  // The balancer stops: says so to the client and ends at once.
  void shut_down();
  State state() const { return state_; }

 private:
  struct Link {
    std::unique_ptr<net::Stream> stream;
    net::EventLoop::Watch watch = 0;
    net::Buffer out;          // not yet taken by the kernel
    MessageWalk walk;         // over what was read from here, in kRelay
    bool hung_up = false;     // reported by the kernel: a watch without interest would spin
    bool write_dead = false;  // writes fail; what can still be read is read
  };
  using Handler = void (Session::*)(uint32_t);

  // session.cc: state, ends, bytes out
  void transition(State to);
  void update_interest();
  void set_interest(Link& link, uint32_t events, Handler handler);
  uint32_t client_events() const;
  uint32_t server_events() const;
  bool flush(Link& link);  // false: the peer is gone
  void send_client(std::string_view bytes);
  void fail(std::string_view sqlstate, const std::string& message, const std::string& detail = {});
  void close_after_flush();
  void end();
  void drop_server();
  void arm(std::chrono::milliseconds wait, void (Session::*action)());
  void disarm();
  void on_client(uint32_t events);
  void on_server(uint32_t events);
  void linger();

  // session_startup.cc: the client's login
  void read_login();
  void first_packets();
  bool first_packet(const pgwire::FirstPacket& packet);
  bool accept_tls(bool more_bytes_came);
  void startup(const pgwire::StartupMessage& message);
  void negotiate(const pgwire::StartupMessage& message);
  void on_verifier(AuthDirectory::Answer answer);
  void auth_messages();
  void login_timed_out();

  // session_server.cc: finding a server and logging in there
  void find_primary();
  void connect_to(const NodeView& node);
  void connected();
  void server_unreachable(const std::string& why);
  void connect_timed_out();
  void login_to_server();
  void read_server_login();
  bool server_message(const pgwire::Step& step);  // false: the session went another way
  bool server_refused(const pgwire::Step& step);
  bool server_authentication(std::string_view payload);
  bool server_key(std::string_view payload);
  void server_login_timed_out();
  void cancel(const pgwire::CancelRequest& request);
  void cancel_connected();
  void read_cancel_end();

  // session_relay.cc
  void start_relay();
  void relay_client();
  void relay_server();
  bool pass_on(Link& to, std::string_view bytes);
  void server_gone();

  const uint64_t id_;
  ReactorContext& context_;
  State state_ = State::kStartup;
  Link client_;
  Link server_;
  net::EventLoop::Timer timer_ = 0;
  std::string peer_;

  std::string first_bytes_;       // kStartup
  pgwire::Framer client_framer_;  // up to kRelay
  pgwire::Framer server_framer_;
  bool ssl_answered_ = false;
  bool counted_client_ = false;
  std::map<std::string, std::string> params_;
  std::optional<pgwire::AuthServer> auth_server_;
  std::optional<pgwire::AuthClient> auth_client_;
  std::optional<pgwire::ScramKeys> keys_;
  bool server_authenticated_ = false;

  Deadline server_deadline_ = Deadline::never();
  std::string last_failure_;  // why there is no server yet
  NodeView node_;             // the server connected to
  net::Address server_address_;
  bool counted_server_ = false;
  uint32_t cancel_pid_ = 0;    // in the registry; 0 if none
  std::string cancel_packet_;  // kCancelling
};

}  // namespace pgb::proxy
