#include "cluster/cluster_file.h"

#include <sys/stat.h>

#include <functional>
#include <nlohmann/json.hpp>

#include "base/strings.h"
#include "os/file.h"

namespace pgb::cluster {
namespace {

using Json = nlohmann::ordered_json;

// `change` returns why it cannot be done, or nothing.
Status change_file(const std::string& file, const std::function<std::string(Json&)>& change,
                   const std::string& by_hand) {
  const auto refuse = [&](const std::string& why) {
    return Error(Code::kConfig, file + " was left as it is: " + why).with("try", by_hand);
  };
  struct stat info = {};
  if (file == "-" || ::stat(file.c_str(), &info) != 0) return refuse("it is no file that can be written");
  auto text = os::read_file(file);
  if (!text.ok()) return std::move(text).error();
  Json document = Json::parse(*text, nullptr, false);
  if (!document.is_object()) return refuse("it is no JSON object");
  if (const std::string why = change(document); !why.empty()) return refuse(why);
  return os::write_file_atomic(file, document.dump(2) + "\n", info.st_mode & 07777,
                               os::Owner{info.st_uid, info.st_gid});
}

// A list that the file leaves to its defaults is spelled out as far as it takes to change one of its members.
Json& list_of(Json& object, const std::string& name, size_t size) {
  Json& list = object[name];
  if (list.is_null()) list = Json(size, Json::object());
  return list;
}

// The object that holds the last part of "balancers[0].replicas[1].port".
Json& holder_of(Json& document, const model::Cluster& cluster, const std::string& key) {
  Json* at = &document;
  size_t size = cluster.balancers.size();
  const std::vector<std::string> parts = split(key, '.');
  for (size_t i = 0; i + 1 < parts.size(); ++i) {
    const size_t bracket = parts[i].find('[');
    const std::string name = parts[i].substr(0, bracket);
    if (bracket == std::string::npos) {
      at = &(*at)[name];
      if (at->is_null()) *at = Json::object();
      continue;
    }
    const size_t index = std::stoul(parts[i].substr(bracket + 1));
    at = &list_of(*at, name, size).at(index);
    if (name == "balancers") size = cluster.balancers.at(index).replicas.size();
  }
  return *at;
}

}  // namespace

Status save_ports(const std::string& file, const model::Cluster& cluster, const std::vector<PortChange>& changes) {
  std::string by_hand = "give other ports by hand:";
  for (const PortChange& one : changes) by_hand += " " + one.key + ": " + std::to_string(one.to);
  return change_file(
      file,
      [&](Json& document) {
        for (const PortChange& one : changes) {
          holder_of(document, cluster, one.key)[one.key.substr(one.key.rfind('.') + 1)] = one.to;
        }
        return std::string();
      },
      by_hand);
}

Status save_replicas(const std::string& file, const std::string& balancer, const std::vector<model::Node>& replicas) {
  const auto add = [&](Json& document) -> std::string {
    if (!document.contains("balancers")) return "it does not list its balancers";
    for (Json& group : document["balancers"]) {
      if (group.value("name", balancer) != balancer) continue;
      if (!group.contains("replicas")) return "it does not list the replicas of " + balancer;
      for (const model::Node& node : replicas) {
        group["replicas"].push_back({{"node_id", node.node_id},
                                     {"host", node.name},
                                     {"port", node.port},
                                     {"container_name", node.container_name},
                                     {"ip_address", node.ip_address}});
      }
      return "";
    }
    return "it has no balancer " + balancer;
  };
  Status saved =
      change_file(file, add, "add them to \"replicas\" by hand; pgbalancer_cluster status shows their ports");
  if (saved.ok()) return saved;
  return std::move(saved).error().in("the replicas run");
}

}  // namespace pgb::cluster
