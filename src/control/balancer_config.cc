#include "control/balancer_config.h"

#include <sys/stat.h>

#include <nlohmann/json.hpp>
#include <set>

#include "base/strings.h"
#include "net/address.h"
#include "os/file.h"

namespace pgb::control {
namespace {

using Json = nlohmann::json;

// Takes values out of one JSON object and notes every mistake under its full key.
class Fields {
 public:
  Fields(const Json& object, std::string prefix, std::vector<std::string>& mistakes)
      : object_(object), prefix_(std::move(prefix)), mistakes_(mistakes) {}

  void text(const char* key, std::string& out, bool needed = false) {
    if (const Json* value = find(key, needed)) {
      if (!value->is_string()) return wrong(key, "must be a text");
      out = value->get<std::string>();
      if (needed && out.empty()) wrong(key, "must not be empty");
    }
  }
  void secret(const char* key, Secret& out, bool needed = false) {
    std::string value;
    text(key, value, needed);
    out = Secret(std::move(value));
  }
  template <class T>
  void number(const char* key, T& out, uint64_t least, uint64_t most, bool needed = false) {
    if (const Json* value = find(key, needed)) {
      if (!value->is_number_unsigned() || value->get<uint64_t>() < least || value->get<uint64_t>() > most) {
        return wrong(key, "must be a whole number from " + std::to_string(least) + " to " + std::to_string(most));
      }
      out = static_cast<T>(value->get<uint64_t>());
    }
  }
  void host(const char* key, std::string& out, bool needed = false) {
    text(key, out, needed);
    if (!out.empty() && !net::Address::parse(out, 1)) wrong(key, "must be an IP address, not \"" + out + "\"");
  }
  const Json* find(const char* key, bool needed) {
    known_.insert(key);
    const auto found = object_.find(key);
    if (found != object_.end()) return &*found;
    if (needed) wrong(key, "is missing");
    return nullptr;
  }
  void wrong(const std::string& key, const std::string& what) { mistakes_.push_back(prefix_ + key + ": " + what); }

  // To be called last: every key that nobody asked for is a mistake.
  void no_others() {
    const std::vector<std::string_view> names(known_.begin(), known_.end());
    for (const auto& [key, value] : object_.items()) {
      if (known_.count(key) != 0) continue;
      const std::string_view meant = nearest(key, names);
      wrong(key, meant.empty() ? "is not a known key" : "is not a known key; did you mean " + std::string(meant) + "?");
    }
  }

 private:
  const Json& object_;
  std::string prefix_;
  std::vector<std::string>& mistakes_;
  std::set<std::string> known_;
};

void read_nodes(const Json* list, BalancerConfig& config, std::vector<std::string>& mistakes) {
  if (list == nullptr) return;
  if (!list->is_array() || list->empty()) {
    mistakes.push_back("nodes: must be a list with at least one node");
    return;
  }
  std::set<std::string> names;
  for (size_t i = 0; i < list->size(); ++i) {
    const std::string prefix = "nodes[" + std::to_string(i) + "]";
    if (!(*list)[i].is_object()) {
      mistakes.push_back(prefix + ": must be an object");
      continue;
    }
    BalancerConfig::Node node;
    Fields fields((*list)[i], prefix + ".", mistakes);
    fields.text("name", node.name, true);
    fields.host("host", node.host, true);
    fields.number("port", node.port, 1, 65535);
    fields.host("agent_host", node.agent_host);
    fields.number("agent_port", node.agent_port, 0, 65535);
    fields.no_others();
    if (!node.name.empty() && !names.insert(node.name).second) {
      fields.wrong("name", "\"" + node.name + "\" is used twice");
    }
    config.nodes.push_back(std::move(node));
  }
}

void read_fields(const Json& root, BalancerConfig& config, std::vector<std::string>& mistakes) {
  Fields fields(root, "", mistakes);
  fields.text("group", config.group, true);
  fields.host("listen_address", config.listen_address);
  fields.number("port", config.port, 0, 65535);
  fields.host("rest_address", config.rest_address);
  fields.number("rest_port", config.rest_port, 0, 65535);
  fields.secret("token", config.token);
  fields.number("max_clients", config.max_clients, 1, 100'000);
  fields.text("auth_user", config.auth_user);
  fields.secret("auth_password", config.auth_password, true);
  fields.number("threads", config.threads, 0, 256);
  fields.text("tls_cert_file", config.tls_cert_file);
  fields.text("tls_key_file", config.tls_key_file);
  fields.secret("agent_token", config.agent_token);
  uint32_t id = 0;
  if (root.contains("run_as_user")) fields.number("run_as_user", id, 0, 0xfffffffe), config.run_as_user = id;
  if (root.contains("run_as_group")) fields.number("run_as_group", id, 0, 0xfffffffe), config.run_as_group = id;
  read_nodes(fields.find("nodes", true), config, mistakes);
  for (const char* key : {"run_as_user", "run_as_group"}) fields.find(key, false);
  fields.no_others();
  if (config.tls_cert_file.empty() != config.tls_key_file.empty()) {
    fields.wrong(config.tls_cert_file.empty() ? "tls_cert_file" : "tls_key_file",
                 "must be set too: TLS needs the certificate and its key");
  }
  if (config.rest_port != 0 && config.token.empty()) {
    fields.wrong("token", "must be set: the REST interface asks for it");
  }
}

}  // namespace

proxy::TopologySnapshot BalancerConfig::topology() const {
  proxy::TopologySnapshot snapshot;
  snapshot.group = group;
  for (const Node& node : nodes) {
    proxy::NodeView view;
    view.name = node.name;
    view.host = node.host;
    view.port = node.port;
    snapshot.nodes.push_back(std::move(view));
  }
  return snapshot;
}

Result<BalancerConfig> parse_balancer_config(std::string_view text) {
  const Json root = Json::parse(text, nullptr, false);
  if (!root.is_object()) return Error(Code::kConfig, "the configuration is not a JSON object");
  BalancerConfig config;
  std::vector<std::string> mistakes;
  read_fields(root, config, mistakes);
  if (mistakes.empty()) return config;
  Error error(Code::kConfig, "the configuration has " + std::to_string(mistakes.size()) +
                                 (mistakes.size() == 1 ? " mistake" : " mistakes"));
  for (std::string& mistake : mistakes) error.with("mistake", std::move(mistake));
  return error;
}

Result<BalancerConfig> load_balancer_config(const std::string& path) {
  struct stat info = {};
  if (::stat(path.c_str(), &info) == 0 && (info.st_mode & 077) != 0) {
    return Error(Code::kConfigUnreadable, path + " holds passwords but others than its owner have rights on it")
        .with("try", "chmod 600 " + path);
  }
  auto text = os::read_file(path);
  if (!text) {
    Error error = std::move(text).error();
    error.code = Code::kConfigUnreadable;
    return error;
  }
  auto config = parse_balancer_config(*text);
  if (!config) return std::move(config).error().in(path);
  return config;
}

}  // namespace pgb::control
