#include "api/agent_api.h"

#include <nlohmann/json.hpp>

#include "base/strings.h"
#include "http/client.h"

namespace pgb::api {

using nlohmann::json;

std::string to_json(const AgentState& s) {
  return json{{"name", s.name},        {"role", s.role},       {"phase", s.phase},
              {"detail", s.detail},    {"answers", s.answers}, {"postmaster_pid", s.postmaster_pid},
              {"query_ms", s.query_ms}}
      .dump();
}

Result<AgentState> parse_agent_state(const std::string& text) {
  const json doc = json::parse(text, nullptr, false);
  if (!doc.is_object()) return Error(Code::kProtocol, "the agent's answer is not a JSON object");
  try {
    AgentState s;
    s.name = doc.at("name").get<std::string>();
    s.role = doc.at("role").get<std::string>();
    s.phase = doc.at("phase").get<std::string>();
    s.detail = doc.at("detail").get<std::string>();
    s.answers = doc.at("answers").get<bool>();
    s.postmaster_pid = doc.at("postmaster_pid").get<int64_t>();
    s.query_ms = doc.at("query_ms").get<double>();
    return s;
  } catch (const json::exception& e) {
    return Error(Code::kProtocol, std::string("the agent's answer lacks a field: ") + e.what());
  }
}

http::Endpoint endpoint_of(const std::string& host, uint16_t port) {
  http::Endpoint endpoint;
  endpoint.kind = http::Endpoint::Kind::kTcp;
  endpoint.host = host;
  endpoint.port = port;
  return endpoint;
}

static std::string authorization(const Secret& token) { return "Bearer " + token.reveal(); }

static Result<http::Response> checked(Result<http::Response> response, const http::Endpoint& endpoint) {
  if (!response.ok()) return std::move(response).error().in("agent at " + endpoint.str());
  if (response->status == 401) return Error(Code::kAuth, "the agent at " + endpoint.str() + " refuses our token");
  return response;
}

static Result<http::Response> ask(const AgentAddress& address, http::Request request, Deadline deadline) {
  const http::Endpoint endpoint = endpoint_of(address.host, address.port);
  request.headers["authorization"] = authorization(address.token);
  return checked(http::call(endpoint, request, deadline), endpoint);
}

Result<AgentState> agent_state(const AgentAddress& address, Deadline deadline) {
  http::Request request;
  request.target = "/v1/state";
  auto response = ask(address, request, deadline);
  if (!response.ok()) return std::move(response).error();
  if (response->status != 200) {
    return Error(Code::kProtocol, "the agent answered with HTTP " + std::to_string(response->status));
  }
  return parse_agent_state(response->body);
}

std::string to_json(const MemberAnswer& answer) {
  return json{{"epoch", answer.epoch}, {"store_reachable", answer.store_reachable}}.dump();
}

static const char kMemberTarget[] = "/v1/member?from=";
static const char kFailsafe[] = "&failsafe=";

std::optional<MemberQuestion> parse_member_question(const std::string& target) {
  const size_t name = sizeof kMemberTarget - 1;
  if (target.rfind(kMemberTarget, 0) != 0) return std::nullopt;
  const size_t mark = target.find(kFailsafe, name);
  if (mark == std::string::npos) return std::nullopt;
  const auto epoch = parse_u64(std::string_view(target).substr(mark + sizeof kFailsafe - 1));
  if (!epoch) return std::nullopt;
  return MemberQuestion{target.substr(name, mark - name), *epoch};
}

Result<MemberAnswer> ask_member(http::KeptConnection& agent, const Secret& token, const MemberQuestion& question,
                                Deadline deadline) {
  http::Request request;
  request.target = kMemberTarget + question.from + kFailsafe + std::to_string(question.failsafe);
  request.headers["authorization"] = authorization(token);
  auto response = checked(agent.call(request, deadline), agent.endpoint());
  if (!response.ok()) return std::move(response).error();
  const json doc = json::parse(response->body, nullptr, false);
  const bool whole = response->status == 200 && doc.is_object() && doc.contains("epoch") &&
                     doc["epoch"].is_number_unsigned() && doc.contains("store_reachable") &&
                     doc["store_reachable"].is_boolean();
  if (!whole) return Error(Code::kProtocol, "the agent answered with HTTP " + std::to_string(response->status));
  return MemberAnswer{doc["epoch"].get<uint64_t>(), doc["store_reachable"].get<bool>()};
}

static json to_doc(const Explanation::Member& member) {
  json doc{{"name", member.name},   {"may_lead", member.may_lead}, {"reason", member.reason}, {"cost", member.cost},
           {"state", member.state}, {"sentence", member.sentence}, {"age", member.age}};
  if (member.behind) doc["behind"] = *member.behind;
  return doc;
}

std::string to_json(const Explanation& e) {
  json members = json::array();
  for (const Explanation::Member& member : e.members) members.push_back(to_doc(member));
  return json{{"node", e.node},     {"store_reachable", e.store_reachable},
              {"paused", e.paused}, {"leader", e.leader},
              {"epoch", e.epoch},   {"summary", e.summary},
              {"members", members}}
      .dump(-1, ' ', false, json::error_handler_t::replace);
}

Result<Explanation> parse_explanation(const std::string& text) {
  const json doc = json::parse(text, nullptr, false);
  if (!doc.is_object()) return Error(Code::kProtocol, "the agent's answer is not a JSON object");
  try {
    Explanation e;
    doc.at("node").get_to(e.node);
    doc.at("store_reachable").get_to(e.store_reachable);
    doc.at("paused").get_to(e.paused);
    doc.at("leader").get_to(e.leader);
    doc.at("epoch").get_to(e.epoch);
    doc.at("summary").get_to(e.summary);
    for (const json& one : doc.at("members")) {
      Explanation::Member member;
      one.at("name").get_to(member.name);
      one.at("may_lead").get_to(member.may_lead);
      one.at("reason").get_to(member.reason);
      one.at("cost").get_to(member.cost);
      one.at("state").get_to(member.state);
      one.at("sentence").get_to(member.sentence);
      one.at("age").get_to(member.age);
      if (one.contains("behind")) member.behind = one.at("behind").get<uint64_t>();
      e.members.push_back(std::move(member));
    }
    return e;
  } catch (const json::exception& e) {
    return Error(Code::kProtocol, std::string("the agent's answer lacks a field: ") + e.what());
  }
}

Result<Explanation> agent_why(const AgentAddress& address, Deadline deadline) {
  http::Request request;
  request.target = "/v1/why";
  auto response = ask(address, request, deadline);
  if (!response.ok()) return std::move(response).error();
  if (response->status == 404) return Error(Code::kNotFound, "the agent chooses no primary");
  if (response->status != 200) {
    return Error(Code::kProtocol, "the agent answered with HTTP " + std::to_string(response->status));
  }
  return parse_explanation(response->body);
}

bool says_refused(const Error& error) { return error.message.find("Connection refused") != std::string::npos; }

Status drop_slot(const AgentAddress& address, const std::string& slot, Deadline deadline) {
  http::Request request;
  request.method = "POST";
  request.target = "/v1/slots/drop?" + slot;
  auto response = ask(address, request, deadline);
  if (!response.ok()) return std::move(response).error();
  if (response->status != 200) {
    return Error(Code::kSql, "slot " + slot + " cannot be dropped: " + response->body);
  }
  return {};
}

}  // namespace pgb::api
