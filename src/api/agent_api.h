// What the agent answers and what it can be asked: HTTP/1.1 with JSON bodies and a bearer token.
//   GET  /v1/state              the state of the agent and its server, asked at that moment
//   GET  /v1/member?from=NAME&failsafe=EPOCH   what a member of the group asks another one
//   GET  /v1/why                who may lead its group and what each member lacks, as this one knows it
//   POST /v1/slots/drop?NAME    drops a replication slot of the (primary) server
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/deadline.h"
#include "base/result.h"
#include "base/secret.h"
#include "http/client.h"

namespace pgb::api {

struct AgentState {
  std::string name;
  std::string role;    // "primary" or "replica": what the server says; what it is to be, until it answers
  std::string phase;   // "starting", "initdb", "waiting", "copying", "running", "stopping", "failed"
  std::string detail;  // what is being done or waited for, or why it failed; one sentence
  int64_t postmaster_pid = 0;
  bool answers = false;  // the server answered a query just now
  double query_ms = 0;   // how long that took

  bool healthy() const { return phase == "running" && answers; }
};

// Where an agent listens.
struct AgentAddress {
  std::string host;
  uint16_t port = 0;
  Secret token;
};
http::Endpoint endpoint_of(const std::string& host, uint16_t port);

std::string to_json(const AgentState& state);
Result<AgentState> parse_agent_state(const std::string& json);  // kProtocol

// Asks the agent. kUnreachable, kTimeout, kAuth (wrong token), kProtocol.
Result<AgentState> agent_state(const AgentAddress& address, Deadline deadline);

struct MemberQuestion {
  std::string from;
  uint64_t failsafe = 0;  // above 0: may I, leader of this epoch, go on although the store is silent to me?
};

// The answer. `!store_reachable && epoch <= failsafe` is a yes: then it elects nobody for one lease from now.
struct MemberAnswer {
  uint64_t epoch = 0;  // the highest it knows
  bool store_reachable = true;
};

std::string to_json(const MemberAnswer& answer);
// From a request's target; nothing if it is none of these.
std::optional<MemberQuestion> parse_member_question(const std::string& target);
// Over a connection that is kept; a failure of one that stood may mean only that it has ended, see
// http::KeptConnection. The errors are those of agent_state(), and kIo.
Result<MemberAnswer> ask_member(http::KeptConnection& agent, const Secret& token, const MemberQuestion& question,
                                Deadline deadline);
bool says_refused(const Error& error);  // nobody listens at the address, and its host says so

// What one agent knows of its group.
struct Explanation {
  std::string node;  // whose view it is
  bool store_reachable = false;
  bool paused = false;
  std::string leader;  // empty: nobody
  uint64_t epoch = 0;
  std::string summary;  // one sentence
  struct Member {
    std::string name;
    bool may_lead = false;
    std::string reason;              // why it may, or what holds it back
    std::string cost;                // if failover is forced to it; empty: nothing acknowledged is lost
    std::optional<uint64_t> behind;  // bytes of WAL that somebody was known to have, and it has not
    std::string state, sentence;     // what it said it is and does; empty: it was never heard of
    double age = -1;                 // seconds since then
  };
  std::vector<Member> members;  // the best to force first
};

std::string to_json(const Explanation& explanation);
Result<Explanation> parse_explanation(const std::string& json);  // kProtocol
// kNotFound: the agent belongs to no group that chooses its primary. Else as agent_state().
Result<Explanation> agent_why(const AgentAddress& address, Deadline deadline);

// Drops the slot; a slot that is not there is a success. kSql with the server's sentence otherwise.
Status drop_slot(const AgentAddress& address, const std::string& slot, Deadline deadline);

}  // namespace pgb::api
