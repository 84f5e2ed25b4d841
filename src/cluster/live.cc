#include "cluster/live.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "cluster/parallel.h"
#include "cluster/rest_calls.h"

namespace pgb::cluster {
namespace {

using nlohmann::json;

constexpr std::chrono::milliseconds kPatience{2000};

std::optional<double> number_or_none(const json& value) {
  return value.is_number() ? std::optional(value.get<double>()) : std::nullopt;
}

LiveNode read_node(const json& doc) {
  LiveNode node;
  doc.at("name").get_to(node.name);
  doc.at("role").get_to(node.role);
  doc.at("state").get_to(node.state);
  doc.at("reason").get_to(node.reason);
  node.lag_s = number_or_none(doc.at("lag_s"));
  if (const json& latency = doc.at("latency_ms"); latency.is_object()) node.p99_ms = number_or_none(latency.at("p99"));
  doc.at("requests_per_s").get_to(node.requests_per_s);
  doc.at("reads_per_s").get_to(node.reads_per_s);
  doc.at("read_share").get_to(node.read_share);
  doc.at("busy").get_to(node.busy);
  doc.at("servers").get_to(node.servers);
  return node;
}

LivePool read_pool(const json& doc) {
  LivePool pool;
  doc.at("database").get_to(pool.database);
  doc.at("user").get_to(pool.user);
  doc.at("requests_per_s").get_to(pool.requests_per_s);
  doc.at("longest_wait_s").get_to(pool.longest_wait_s);
  doc.at("clients").get_to(pool.clients);
  doc.at("waiting").get_to(pool.waiting);
  doc.at("active").get_to(pool.active);
  doc.at("bound").get_to(pool.bound);
  doc.at("idle").get_to(pool.idle);
  return pool;
}

LiveGroup read_group(const json& doc) {
  LiveGroup group;
  doc.at("time").get_to(group.time);
  doc.at("age_s").get_to(group.age_s);
  doc.at("state").get_to(group.state);
  doc.at("sentence").get_to(group.sentence);
  if (const json& ha = doc.at("ha"); ha.is_object()) {
    group.epoch = ha.at("epoch").get<uint64_t>();
    if (const json& what = ha.at("durability"); what.is_object()) what.at("sentence").get_to(group.durability);
  }
  const json& rates = doc.at("rates");
  rates.at("transactions_per_s").get_to(group.transactions_per_s);
  rates.at("requests_per_s").get_to(group.requests_per_s);
  rates.at("reads_per_s").get_to(group.reads_per_s);
  if (const json& latency = rates.at("latency_ms"); latency.is_object()) {
    group.p50_ms = number_or_none(latency.at("p50"));
    group.p95_ms = number_or_none(latency.at("p95"));
    group.p99_ms = number_or_none(latency.at("p99"));
  }
  const json& clients = doc.at("clients");
  clients.at("connected").get_to(group.clients);
  clients.at("max").get_to(group.max_clients);
  clients.at("waiting").get_to(group.waiting);
  clients.at("longest_wait_s").get_to(group.longest_wait_s);
  doc.at("servers").at("in_use").get_to(group.in_use);
  doc.at("servers").at("open").get_to(group.open);
  for (const json& node : doc.at("nodes")) group.nodes.push_back(read_node(node));
  for (const json& pool : doc.at("pools")) group.pools.push_back(read_pool(pool));
  for (const json& event : doc.at("events")) {
    group.events.push_back({event.at("time").get<std::string>(), event.at("text").get<std::string>()});
  }
  std::stable_sort(group.events.begin(), group.events.end(),
                   [](const LiveEvent& a, const LiveEvent& b) { return a.time < b.time; });
  return group;
}

Result<LiveGroup> ask(const Session& session, const model::Cluster& cluster, const Secrets& secrets,
                      const model::Balancer& balancer) {
  http::Request request;
  request.target = "/api/v1/snapshot";
  auto answer = call_balancer(session, cluster, secrets, balancer, std::move(request), Deadline::after(kPatience));
  if (!answer.ok()) return std::move(answer).error();
  if (answer->status != 200) {
    return Error(Code::kProtocol, "its REST interface answers with status " + std::to_string(answer->status));
  }
  return parse_live(answer->body);
}

}  // namespace

Result<LiveGroup> parse_live(const std::string& document) {
  const json doc = json::parse(document, nullptr, false);
  try {
    LiveGroup group = read_group(doc);
    group.document = document;
    return group;
  } catch (const json::exception&) {
    return Error(Code::kProtocol,
                 "its REST interface answers with something that is no snapshot; is it a pgbalancer "
                 "of this version?");
  }
}

Result<std::vector<LiveGroup>> live(const Session& session, const std::string& name) {
  auto cluster = session.recorded();
  if (!cluster.ok()) return std::move(cluster).error();
  auto secrets = session.secrets(false);
  if (!secrets.ok()) return std::move(secrets).error();
  std::vector<model::Balancer> balancers;
  for (const model::Balancer& balancer : cluster->balancers) {
    if (name.empty() || balancer.name == name) balancers.push_back(balancer);
  }
  if (balancers.empty()) {
    return Error(Code::kNoBalancer, "there is no balancer " + name)
        .with("try", "--balancer " + cluster->balancers[0].name);
  }
  std::vector<LiveGroup> groups(balancers.size());
  in_parallel(balancers.size(), [&](size_t i) {
    auto group = ask(session, *cluster, *secrets, balancers[i]);
    if (group.ok()) {
      groups[i] = std::move(*group);
    } else {
      groups[i].error = group.error().message;
    }
    groups[i].balancer = balancers[i].name;
  });
  return groups;
}

}  // namespace pgb::cluster
