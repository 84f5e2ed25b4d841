#include "agent/agent_server.h"

#include "api/agent_api.h"
#include "pgclient/connection.h"

namespace pgb::agent {

using pgclient::Connection;
using std::chrono::milliseconds;

// A new connection each time: a stopped postmaster lets old ones go on and answers no new one.
static Result<std::unique_ptr<Connection>> connect(const AgentConfig& config, Deadline deadline) {
  pgclient::ConnInfo info;
  info.host = config.local_host();
  info.port = config.port;
  info.user = "pgbalancer_agent";
  info.password = config.agent_password;
  info.database = "postgres";
  info.application_name = "pgbalancer_agent";
  return Connection::open(info, deadline);
}

static api::AgentState observe(const AgentConfig& config, const Progress& progress, const Postmaster& postmaster) {
  api::AgentState state;
  state.name = config.name;
  state.role = config.primary ? "primary" : "replica";
  state.phase = progress.phase();
  state.detail = progress.detail();
  state.postmaster_pid = postmaster.pid();
  if (state.phase != "running") return state;
  const auto began = Deadline::Clock::now();
  const Deadline deadline = Deadline::after(milliseconds(500));
  auto connection = connect(config, deadline);
  auto answer = connection.ok() ? (*connection)->query("SELECT pg_is_in_recovery() AS standby", deadline)
                                : Result<std::vector<pgclient::ResultSet>>(connection.error());
  state.query_ms = std::chrono::duration<double, std::milli>(Deadline::Clock::now() - began).count();
  state.answers = answer.ok();
  if (answer.ok()) {
    state.role = answer->at(0).get(0, "standby") == "t" ? "replica" : "primary";
  } else {
    state.detail = answer.error().message;
  }
  return state;
}

static http::Response drop_slot(const AgentConfig& config, const std::string& slot) {
  const Deadline deadline = Deadline::after(milliseconds(5000));
  auto connection = connect(config, deadline);
  if (!connection.ok()) return http::problem(503, connection.error().message);
  auto dropped = (*connection)
                     ->query(
                         "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots "
                         "WHERE slot_name = " +
                             pgclient::quote_literal(slot),
                         deadline);
  if (!dropped.ok()) return http::problem(409, dropped.error().message);
  return http::Response{200, {}, "{}"};
}

Result<std::unique_ptr<http::Server>> serve(const AgentConfig& config, const Progress& progress,
                                            const Postmaster& postmaster, AnswerMember answer, Explain explain) {
  auto known = [&, answer = std::move(answer), explain = std::move(explain)](const http::Request& request) {
    if (request.method == "GET" && request.target == "/v1/state") {
      return http::Response{
          200, {{"content-type", "application/json"}}, api::to_json(observe(config, progress, postmaster))};
    }
    if (const auto question = api::parse_member_question(request.target); question && answer) {
      return http::Response{200, {{"content-type", "application/json"}}, api::to_json(answer(*question))};
    }
    if (request.method == "GET" && request.target == "/v1/why" && explain) {
      return http::Response{200, {{"content-type", "application/json"}}, api::to_json(explain())};
    }
    const std::string drop = "/v1/slots/drop?";
    if (request.method == "POST" && request.target.rfind(drop, 0) == 0) {
      return drop_slot(config, request.target.substr(drop.size()));
    }
    return http::problem(404, "no such resource");
  };
  auto handler = [&config, known = std::move(known)](const http::Request& request) {
    if (!http::has_bearer(request, config.token.reveal())) return http::problem(401, "a bearer token is needed");
    http::Response response = known(request);
    response.known = true;
    return response;
  };
  return http::Server::start(config.agent_address, config.agent_port, std::move(handler));
}

}  // namespace pgb::agent
