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
  doc.at("group").get_to(config.group);
  doc.at("store").get_to(config.store_endpoints);
  doc.at("store_user").get_to(config.store_user);
  config.store_password = Secret(doc.at("store_password").get<std::string>());
  doc.at("durability").get_to(config.durability);
  doc.at("lease").get_to(config.lease);
  doc.at("loop").get_to(config.loop);
  for (const json& one : doc.at("members")) {
    config.members.push_back({one.at("name").get<std::string>(), one.at("host").get<std::string>(),
                              one.at("port").get<uint16_t>(), one.at("agent_host").get<std::string>(),
                              one.at("agent_port").get<uint16_t>(), one.at("slot").get<std::string>()});
  }
}

}  // namespace

Result<AgentConfig> parse_agent_config(const std::string& text) {
  const json doc = json::parse(text, nullptr, false);
  if (!doc.is_object()) return Error(Code::kConfig, "agent.json is not a JSON object");
  try {
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
    if (doc.contains("store")) read_group(doc, c);
    return c;
  } catch (const json::exception& e) {
    return Error(Code::kConfig, std::string("agent.json: ") + e.what());
  }
}

Result<AgentConfig> load_agent_config(const std::string& file) {
  auto text = os::read_file(file);
  if (!text.ok()) return Error(Code::kConfigUnreadable, text.error().message);
  auto config = parse_agent_config(*text);
  if (!config.ok()) return config;
  const size_t slash = file.rfind('/');
  config->config_dir = slash == std::string::npos ? "." : file.substr(0, slash);
  for (const std::string& name : config->init_sql) {
    auto sql = os::read_file(config->config_dir + "/" + name);
    if (!sql.ok()) return Error(Code::kConfigUnreadable, sql.error().message);
    config->init_texts.push_back(std::move(*sql));
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
  if (c.has_store()) {
    doc["group"] = c.group;
    doc["store"] = c.store_endpoints;
    doc["store_user"] = c.store_user;
    doc["store_password"] = c.store_password.reveal();
    doc["durability"] = c.durability;
    doc["lease"] = c.lease;
    doc["loop"] = c.loop;
    doc["members"] = members_json(c);
  }
  return doc.dump(2);
}

}  // namespace pgb::agent
