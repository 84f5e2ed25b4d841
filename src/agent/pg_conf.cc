#include "agent/pg_conf.h"

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

std::string render_conf(const AgentConfig& config, const std::string& passfile) {
  std::string out = "# written by pgbalancer_agent at every start; change the cluster file instead\n";
  for (const auto& [name, value] : config.parameters) out += name + " = " + conf_quote(value) + "\n";
  if (!config.primary) {
    auto quoted = [](std::string_view value) { return "'" + escape(value, "'\\", '\\') + "'"; };
    const std::string conninfo = "host=" + quoted(config.primary_host) +
                                 " port=" + std::to_string(config.primary_port) +
                                 " user=" + quoted(config.replication_user) + " passfile=" + quoted(passfile) +
                                 " application_name=" + quoted(config.name) + " connect_timeout=5";
    out += "primary_conninfo = " + conf_quote(conninfo) + "\n";
    out += "primary_slot_name = " + conf_quote(config.slot) + "\n";
    out += "recovery_target_timeline = 'latest'\n";
    out += "wal_retrieve_retry_interval = '500ms'\n";
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
