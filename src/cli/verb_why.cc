// why: a missing leader, a server's state, the way of a statement.
#include <cstdio>
#include <nlohmann/json.hpp>

#include "cli/context.h"
#include "cli/status_view.h"
#include "cli/terminal.h"
#include "cli/why_view.h"
#include "cluster/status.h"
#include "cluster/why.h"

namespace pgb::cli {

using api::Explanation;
using nlohmann::json;

namespace {

void print(const json& doc) { std::printf("%s\n", doc.dump(-1, ' ', false, json::error_handler_t::replace).c_str()); }

json to_doc(const Explanation::Member& member) {
  return {{"node", member.name},
          {"may_lead", member.may_lead},
          {"reason", member.reason},
          {"cost", member.cost},
          {"behind_bytes", member.behind ? json(*member.behind) : json(nullptr)},
          {"state", member.state},
          {"sentence", member.sentence},
          {"age_s", member.age < 0 ? json(nullptr) : json(member.age)}};
}

json to_doc(const cluster::WhyGroup& why) {
  json members = json::array(), silent = json::array();
  for (const auto& member : why.view.members) members.push_back(to_doc(member));
  for (const auto& one : why.silent) silent.push_back({{"node", one.node}, {"reason", one.reason}});
  return {{"v", 1},
          {"group", why.group},
          {"leader", why.view.leader},
          {"epoch", why.view.epoch},
          {"paused", why.view.paused},
          {"store_reachable", why.view.store_reachable},
          {"summary", why.view.summary},
          {"source", why.view.node},
          {"members", members},
          {"silent", silent}};
}

// What forcing it would cost, in words and, where it is known, in bytes: at least, for what a server wrote after it
// told of its position last is not known.
std::string cost_text(const Explanation::Member& member) {
  if (member.cost.empty()) return "";
  if (!member.behind) return member.cost;
  if (*member.behind == 0) return member.cost + "; no other server is known to have more";
  return member.cost + "; others are known to have " + size_text(static_cast<int64_t>(*member.behind)) + " of WAL more";
}

void print_group(const cluster::WhyGroup& why) {
  std::printf("%s: %s.\n", why.group.c_str(), visible(why.view.summary).c_str());
  for (const auto& member : why.view.members) {
    if (member.name == why.view.leader) continue;
    std::printf("  %-12s %s\n", member.name.c_str(), visible(member.reason).c_str());
    const std::string cost = why.view.leader.empty() ? cost_text(member) : "";
    if (!cost.empty()) std::printf("  %-12s forced, it would lose %s\n", "", visible(cost).c_str());
  }
  for (const auto& one : why.silent) {
    std::printf("  %-12s its agent is silent: %s\n", one.node.c_str(), visible(one.reason).c_str());
  }
  if (why.view.leader.empty() && why.view.paused) std::printf("  %-12s pgbalancer_cluster resume\n", "try");
}

int answer_groups(Context& context, cluster::Session& session) {
  auto cluster = session.recorded();
  if (!cluster.ok()) return context.fail(cluster.error());
  const std::string wanted = context.line.get("--balancer");
  bool leaderless = false;
  for (const model::Balancer& balancer : cluster->balancers) {
    if (!wanted.empty() && balancer.name != wanted) continue;
    auto why = cluster::why(session, balancer.name);
    context.end_progress();
    if (!why.ok()) return context.fail(why.error());
    context.json ? print(to_doc(*why)) : print_group(*why);
    leaderless = leaderless || why->view.leader.empty();
  }
  if (!wanted.empty() && cluster->find_balancer(wanted) == nullptr) {
    return context.fail(Error(Code::kNoBalancer, "there is no balancer " + wanted));
  }
  return context.line.has("--exit-code") && leaderless ? 11 : 0;
}

// Of groups without failover only the server's own state is known.
int answer_node(Context& context, cluster::Session& session, const std::string& group, const std::string& name) {
  auto document = cluster::status(session);
  if (!document.ok()) return context.fail(document.error());
  if (Status found = cluster::only_node(*document, name); !found.ok()) return context.fail(found.error());
  if (document->balancers.empty() || document->balancers[0].nodes.empty()) {
    return context.fail(Error(Code::kNoCluster, "cluster " + document->cluster + " was not made"));
  }
  const cluster::NodeStatus& node = document->balancers[0].nodes[0];
  const auto why = cluster::why(session, group);
  context.end_progress();
  if (context.json) {
    const Explanation::Member* said = said_of(why, name);
    json doc{{"v", 1},
             {"node", name},
             {"role", node.role},
             {"state", node.state},
             {"reason", node.reason},
             {"agent", said != nullptr ? to_doc(*said) : json(nullptr)}};
    print(doc);
  } else {
    std::fputs(render_why(node, why).c_str(), stdout);
  }
  if (!context.line.has("--exit-code") || node.healthy()) return 0;
  return document->state == "no_primary" ? 11 : 10;
}

int answer_statement(Context& context, cluster::Session& session, const std::string& sql) {
  auto route = cluster::why_statement(session, context.line.get("--balancer"), sql);
  context.end_progress();
  if (!route.ok()) return context.fail(route.error());
  if (context.json) {
    print({{"v", 1},
           {"statement", sql},
           {"node", route->node},
           {"role", route->role},
           {"reason", route->reason},
           {"verdict", route->verdict}});
  } else {
    std::printf("It goes to %s (%s): %s.\n  taken for  %s\n", visible(route->node).c_str(),
                visible(route->role).c_str(), visible(route->reason).c_str(), visible(route->verdict).c_str());
  }
  return 0;
}

}  // namespace

int verb_why(Context& context) {
  auto session = context.open();
  if (!session.ok()) return context.fail(session.error());
  if (context.line.words.empty()) return answer_groups(context, **session);
  const std::string& word = context.line.words[0];
  auto cluster = (*session)->recorded();
  if (!cluster.ok()) return context.fail(cluster.error());
  std::string known;
  for (const model::Balancer& balancer : cluster->balancers) {
    for (const model::Node& node : balancer.nodes()) {
      if (node.name == word) return answer_node(context, **session, balancer.name, word);
      known += (known.empty() ? "" : ", ") + node.name;
    }
  }
  if (word.find_first_of(" ;") != std::string::npos) return answer_statement(context, **session, word);
  return context.fail(Error(Code::kNoNode, "there is no node " + word)
                          .with("known", known)
                          .with("try", "for a statement of one word: why '" + word + ";'"));
}

}  // namespace pgb::cli
