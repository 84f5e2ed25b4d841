#include "agent/pg_conf.h"

#include "agent/wal_room.h"
#include "base/strings.h"

namespace pgb::agent {

static std::string escape(std::string_view text, std::string_view special, char with) {
  std::string out;
  for (char c : text) {
    if (special.find(c) != std::string_view::npos) out.push_back(with);
    out.push_back(c);
  }
  return out;
}

std::string conf_quote(std::string_view value) {
  std::string out = "'";
  for (char c : value) {
    if (c == '\'' || c == '\\') out.push_back(c);
    out.push_back(c);
  }
  return out + "'";
}

ServerRole role_of(const AgentConfig& config) {
  if (config.primary) return {};
  return {true, config.primary_host, config.primary_port, config.slot, "", "500ms"};
}

std::string render_conf(const AgentConfig& config, const std::string& passfile, const ServerRole& role) {
  std::string out = "# written by pgbalancer_agent at every start; change the cluster file instead\n";
  for (const auto& [name, value] : config.parameters) out += name + " = " + conf_quote(value) + "\n";
  if (!config.parameters.contains(kSlotWalParameter)) {
    out += kSlotWalParameter + std::string(" = ") + std::to_string(role.slot_wal >> 20) + "MB\n";
  }
  if (!role.sync_names.empty()) out += "synchronous_standby_names = " + conf_quote(role.sync_names) + "\n";
  if (!role.standby) return out;
  out += "wal_retrieve_retry_interval = " + conf_quote(role.retry) + "\n";
  if (role.host.empty()) return out;
  auto quoted = [](std::string_view value) { return "'" + escape(value, "'\\", '\\') + "'"; };
  const std::string conninfo = "host=" + quoted(role.host) + " port=" + std::to_string(role.port) +
                               " user=" + quoted(config.replication_user) + " passfile=" + quoted(passfile) +
                               " application_name=" + quoted(config.name) + " connect_timeout=5 " +
                               std::string(kNoticesSilence);
  out += "primary_conninfo = " + conf_quote(conninfo) + "\n";
  out += "primary_slot_name = " + conf_quote(role.slot) + "\n";
  return out;
}

std::string without_ours(const std::string& auto_conf) {
  std::string out;
  for (const std::string& line : split(auto_conf, '\n')) {
    bool ours = false;
    for (const char* name : {"synchronous_standby_names", "primary_conninfo", "primary_slot_name",
                             "recovery_target_timeline", "wal_retrieve_retry_interval"}) {
      ours = ours || trim(line).rfind(name, 0) == 0;
    }
    if (!ours && !line.empty()) out += line + "\n";
  }
  return out;
}

static std::string hba_name(const std::string& name) { return "\"" + escape(name, "\"", '"') + "\""; }

std::string render_hba(const AgentConfig& config) {
  return "# written by pgbalancer_agent at every start\n"
         "# TYPE  DATABASE     USER  ADDRESS  METHOD\n"
         "host    replication  " +
         hba_name(config.replication_user) +
         "  all  scram-sha-256\n"
         "host    replication  all  all  reject\n"
         "host    all          all  all  scram-sha-256\n";
}

std::string render_passfile(const AgentConfig& config) {
  return "*:*:*:" + escape(config.replication_user, ":\\", '\\') + ":" +
         escape(config.replication_password.reveal(), ":\\", '\\') + "\n";
}

std::vector<std::string> server_arguments(const AgentConfig& config) {
  const std::string listen = config.listen_address == "0.0.0.0" ? "*" : config.listen_address;
  return {"-D", config.data_dir,
          "-c", "listen_addresses=" + listen,
          "-c", "port=" + std::to_string(config.port),
          "-c", "unix_socket_directories=",
          "-c", "hba_file=" + config.data_dir + "/pg_hba.conf",
          "-c", "logging_collector=off",
          "-c", "cluster_name=" + config.name};
}

}  // namespace pgb::agent
