#include "agent/agent_config.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "os/file.h"

namespace pgb::agent {

using nlohmann::json;

std::string AgentConfig::local_host() const {
  return listen_address.empty() || listen_address == "*" || listen_address == "0.0.0.0" ? "127.0.0.1" : listen_address;
}

const Member* AgentConfig::find_member(const std::string& member) const {
  const auto found = std::find_if(members.begin(), members.end(), [&](const Member& m) { return m.name == member; });
  return found == members.end() ? nullptr : &*found;
}

namespace {

json members_json(const AgentConfig& config) {
  json members = json::array();
  for (const Member& m : config.members) {
    members.push_back({{"name", m.name},
                       {"host", m.host},
                       {"port", m.port},
                       {"agent_host", m.agent_host},
                       {"agent_port", m.agent_port},
                       {"slot", m.slot}});
  }
  return members;
}

void read_group(const json& doc, AgentConfig& config) {
  doc.at("store").get_to(config.store_endpoints);
  doc.at("durability").get_to(config.durability);
  doc.at("lease").get_to(config.lease);
  config.lag_limit = doc.value("lag_limit", AgentConfig{}.lag_limit);
  config.members.clear();
  for (const json& one : doc.at("members")) {
    config.members.push_back({one.at("name").get<std::string>(), one.at("host").get<std::string>(),
                              one.at("port").get<uint16_t>(), one.at("agent_host").get<std::string>(),
                              one.at("agent_port").get<uint16_t>(), one.at("slot").get<std::string>()});
  }
}

AgentConfig read_agent(const json& doc) {
  AgentConfig c;
  auto secret = [&](const char* key) { return Secret(doc.at(key).get<std::string>()); };
  doc.at("cluster").get_to(c.cluster);
  doc.at("name").get_to(c.name);
  doc.at("primary").get_to(c.primary);
  doc.at("data_dir").get_to(c.data_dir);
  doc.at("bin_dir").get_to(c.bin_dir);
  doc.at("run_as_user").get_to(c.run_as_user);
  doc.at("listen_address").get_to(c.listen_address);
  doc.at("port").get_to(c.port);
  doc.at("agent_address").get_to(c.agent_address);
  doc.at("agent_port").get_to(c.agent_port);
  c.token = secret("token");
  doc.at("superuser").get_to(c.superuser);
  doc.at("database").get_to(c.database);
  doc.at("replication_user").get_to(c.replication_user);
  c.superuser_password = secret("superuser_password");
  c.replication_password = secret("replication_password");
  c.agent_password = secret("agent_password");
  c.balancer_password = secret("balancer_password");
  doc.at("parameters").get_to(c.parameters);
  doc.at("init_sql").get_to(c.init_sql);
  doc.at("primary_host").get_to(c.primary_host);
  doc.at("primary_port").get_to(c.primary_port);
  doc.at("slot").get_to(c.slot);
  if (!doc.contains("group")) return c;
  doc.at("group").get_to(c.group);
  c.store_user = doc.value("store_user", "");
  c.store_password = Secret(doc.value("store_password", ""));
  c.store_tls = {doc.value("store_ca", ""), doc.value("store_cert", ""), Secret(doc.value("store_key", ""))};
  return c;
}

// Reads a JSON object from a file; `read` may throw what the JSON library throws.
template <class Read>
auto from_file(const std::string& file, Read read) -> Result<decltype(read(json()))> {
  const auto text = os::read_file(file);
  if (!text.ok()) return Error(Code::kConfigUnreadable, text.error().message);
  const json doc = json::parse(*text, nullptr, false);
  if (!doc.is_object()) return Error(Code::kConfig, file + " is not a JSON object");
  try {
    return read(doc);
  } catch (const json::exception& e) {
    return Error(Code::kConfig, file + ": " + e.what());
  }
}

}  // namespace

Status reload_group(AgentConfig& config) {
  auto fresh = from_file(config.config_dir + "/group.json", [&](const json& doc) {
    AgentConfig read = config;
    read_group(doc, read);
    return read;
  });
  if (!fresh.ok()) return std::move(fresh).error();
  config = std::move(*fresh);
  return {};
}

Result<AgentConfig> load_agent_config(const std::string& file) {
  auto config = from_file(file, read_agent);
  if (!config.ok()) return config;
  const size_t slash = file.rfind('/');
  config->config_dir = slash == std::string::npos ? "." : file.substr(0, slash);
  if (!config->group.empty()) PGB_TRY(reload_group(*config));
  for (const std::string& name : config->init_sql) {
    auto sql = os::read_file(config->config_dir + "/" + name);
    config->init_texts.push_back(sql.ok() ? std::optional(std::move(*sql)) : std::nullopt);
  }
  return config;
}

std::string to_json(const AgentConfig& c) {
  json doc{{"cluster", c.cluster},
           {"name", c.name},
           {"primary", c.primary},
           {"data_dir", c.data_dir},
           {"bin_dir", c.bin_dir},
           {"run_as_user", c.run_as_user},
           {"listen_address", c.listen_address},
           {"port", c.port},
           {"agent_address", c.agent_address},
           {"agent_port", c.agent_port},
           {"token", c.token.reveal()},
           {"superuser", c.superuser},
           {"database", c.database},
           {"replication_user", c.replication_user},
           {"superuser_password", c.superuser_password.reveal()},
           {"replication_password", c.replication_password.reveal()},
           {"agent_password", c.agent_password.reveal()},
           {"balancer_password", c.balancer_password.reveal()},
           {"parameters", c.parameters},
           {"init_sql", c.init_sql},
           {"primary_host", c.primary_host},
           {"primary_port", c.primary_port},
           {"slot", c.slot}};
  if (!c.group.empty()) {
    doc["group"] = c.group;
    doc["store_user"] = c.store_user;
    doc["store_password"] = c.store_password.reveal();
    doc["store_ca"] = c.store_tls.ca;
    doc["store_cert"] = c.store_tls.cert;
    doc["store_key"] = c.store_tls.key.reveal();
  }
  return doc.dump(2);
}

std::string to_group_json(const AgentConfig& c) {
  const json doc{{"store", c.store_endpoints},
                 {"durability", c.durability},
                 {"lease", c.lease},
                 {"lag_limit", c.lag_limit},
                 {"members", members_json(c)}};
  return doc.dump(2);
}

}  // namespace pgb::agent
