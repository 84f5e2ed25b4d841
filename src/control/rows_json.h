// The rows of proxy::Admin's lists as JSON. Only for .cc files.
#pragma once

#include <algorithm>
#include <nlohmann/json.hpp>
#include <vector>

#include "proxy/admin.h"

namespace pgb::control {

using Json = nlohmann::json;

inline Json to_json(const proxy::PoolRow& row) {
  return {{"database", row.database},     {"user", row.user},       {"node", row.node},
          {"active", row.active},         {"bound", row.bound},     {"idle", row.idle},
          {"connecting", row.connecting}, {"waiting", row.waiting}, {"longest_wait_s", row.longest_wait_s}};
}

inline Json to_json(const proxy::ClientRow& row) {
  return {{"id", row.id},
          {"user", row.user},
          {"database", row.database},
          {"address", row.address},
          {"state", row.state},
          {"node", row.node},
          {"bound", row.bound},
          {"tls", row.tls},
          {"age_s", row.age_s},
          {"idle_s", row.idle_s},
          {"transactions", row.transactions},
          {"waiting_s", row.waiting_s},
          {"application_name", row.application_name},
          {"prepared", row.prepared}};
}

inline Json to_json(const proxy::ServerRow& row) {
  return {{"database", row.database}, {"user", row.user},     {"node", row.node},        {"address", row.address},
          {"pid", row.pid},           {"state", row.state},   {"tls", row.tls},          {"retiring", row.retiring},
          {"age_s", row.age_s},       {"idle_s", row.idle_s}, {"prepared", row.prepared}};
}

inline Json to_json(const proxy::RouteRow& row) {
  return {{"node", row.node}, {"reason", row.reason}, {"requests", row.requests}};
}

// Sums by verdict, and what each is made up of, in the order of the rows.
inline Json verdicts_json(const std::vector<proxy::VerdictRow>& rows) {
  Json list = Json::array();
  for (const proxy::VerdictRow& row : rows) {
    auto found = std::find_if(list.begin(), list.end(), [&](const Json& one) { return one["verdict"] == row.verdict; });
    if (found == list.end()) {
      list.push_back({{"verdict", row.verdict}, {"requests", 0}, {"routes", Json::array()}});
      found = list.end() - 1;
    }
    (*found)["requests"] = (*found)["requests"].get<uint64_t>() + row.requests;
    (*found)["routes"].push_back({{"node", row.node}, {"reason", row.reason}, {"requests", row.requests}});
  }
  return list;
}

inline Json to_json(const proxy::CacheRow& row) {
  return {{"database", row.database},
          {"entries", row.entries},
          {"bytes", row.bytes},
          {"hits", row.hits},
          {"misses", row.misses}};
}

inline Json to_json(const proxy::Outcome& outcome) {
  return {{"ok", true},           {"done", outcome.done},   {"text", outcome.text},
          {"busy", outcome.busy}, {"bound", outcome.bound}, {"ended", outcome.ended}};
}

template <class Row>
Json to_json(const std::vector<Row>& rows) {
  Json list = Json::array();
  for (const Row& row : rows) list.push_back(to_json(row));
  return list;
}

}  // namespace pgb::control
