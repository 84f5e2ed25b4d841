// url: how programs connect, in the notation of their driver.
#include <cctype>
#include <cstdio>
#include <utility>

#include "cluster/units.h"
#include "cluster/verbs.h"

namespace pgb::cluster {

using std::chrono::seconds;

namespace {

constexpr const char* kReadOnly = "-c default_transaction_read_only=on";

// What a driver has to be told.
struct Target {
  pgclient::ConnInfo info;      // the port is that of the first host
  std::vector<uint16_t> ports;  // one, or one a server: tried in turn
  bool choose = false;          // the driver picks by role
  bool read_only = false;

  bool tls() const { return info.tls.required; }
};

// RFC 3986: everything but the unreserved characters.
std::string percent(const std::string& text) {
  std::string out;
  for (unsigned char c : text) {
    if (std::isalnum(c) != 0 || c == '-' || c == '.' || c == '_' || c == '~') {
      out.push_back(static_cast<char>(c));
    } else {
      char code[4];
      std::snprintf(code, sizeof code, "%%%02X", c);
      out += code;
    }
  }
  return out;
}

std::string conninfo_quote(const std::string& text) {
  std::string out = "'";
  for (char c : text) {
    if (c == '\'' || c == '\\') out.push_back('\\');
    out.push_back(c);
  }
  return out + "'";
}

// ADO.NET's rule: in double quotes, and those doubled.
std::string npgsql_quote(const std::string& text) {
  std::string out = "\"";
  for (char c : text) out += c == '"' ? std::string("\"\"") : std::string(1, c);
  return out + "\"";
}

std::string hosts(const Target& target) {
  std::string out;
  for (size_t i = 0; i < target.ports.size(); ++i) out += (i == 0 ? "" : ",") + target.info.host;
  return out;
}

std::string ports(const Target& target) {
  std::string out;
  for (uint16_t port : target.ports) out += (out.empty() ? "" : ",") + std::to_string(port);
  return out;
}

std::string hosts_with_ports(const Target& target) {
  std::string out;
  for (uint16_t port : target.ports) out += (out.empty() ? "" : ",") + target.info.host + ":" + std::to_string(port);
  return out;
}

// libpq's target_session_attrs (33.1.2), and what JDBC and Npgsql call it.
std::string libpq_role(const Target& target) { return target.read_only ? "prefer-standby" : "read-write"; }
std::string jdbc_role(const Target& target) { return target.read_only ? "preferSecondary" : "primary"; }
std::string npgsql_role(const Target& target) { return target.read_only ? "prefer-standby" : "primary"; }

std::string dsn(const Target& target, const std::string& password) {
  const pgclient::ConnInfo& info = target.info;
  std::string out = "host=" + hosts(target) + " port=" + ports(target) + " dbname=" + conninfo_quote(info.database) +
                    " user=" + conninfo_quote(info.user);
  if (!password.empty()) out += " password=" + conninfo_quote(password);
  if (target.choose) out += " target_session_attrs=" + libpq_role(target);
  if (target.read_only) out += " options=" + conninfo_quote(kReadOnly);
  if (target.tls()) out += " sslmode=require";
  return out;
}

std::string jdbc(const Target& target, const std::string& password) {
  std::string out = "jdbc:postgresql://" + hosts_with_ports(target) + "/" + percent(target.info.database) +
                    "?user=" + percent(target.info.user);
  if (!password.empty()) out += "&password=" + percent(password);
  if (target.choose) out += "&targetServerType=" + jdbc_role(target);
  if (target.read_only) out += "&options=" + percent(kReadOnly);
  if (target.tls()) out += "&sslmode=require";
  return out;
}

std::string npgsql(const Target& target, const std::string& password) {
  const bool several = target.ports.size() > 1;
  std::string out = several ? "Host=" + hosts_with_ports(target)
                            : "Host=" + target.info.host + ";Port=" + std::to_string(target.ports[0]);
  out += ";Database=" + npgsql_quote(target.info.database) + ";Username=" + npgsql_quote(target.info.user);
  if (!password.empty()) out += ";Password=" + npgsql_quote(password);
  if (target.choose && several) out += ";Target Session Attributes=" + npgsql_role(target);
  if (target.read_only) out += ";Options=" + npgsql_quote(kReadOnly);
  if (target.tls()) out += ";SSL Mode=Require";
  return out;
}

// Lines of name=value, as the environment and pg_service.conf have them: values stand as they are, to the line's end.
std::string settings(const Target& target, const std::string& password, const char* const (&names)[8]) {
  const std::string values[8] = {hosts(target),
                                 ports(target),
                                 target.info.user,
                                 target.info.database,
                                 password,
                                 target.choose ? libpq_role(target) : "",
                                 target.read_only ? kReadOnly : "",
                                 target.tls() ? "require" : ""};
  std::string out;
  for (size_t i = 0; i < 8; ++i) {
    if (!values[i].empty()) out += (out.empty() ? "" : "\n") + std::string(names[i]) + "=" + values[i];
  }
  return out;
}

std::string pgpass(const Target& target) {
  std::string out;
  for (uint16_t port : target.ports) {
    out += (out.empty() ? "" : "\n") + target.info.host + ":" + std::to_string(port) + ":*:" + target.info.user + ":" +
           target.info.password.reveal();
  }
  return out;
}

std::string uri(const Target& target, const std::string& password) {
  std::string out = "postgresql://" + percent(target.info.user) + (password.empty() ? "" : ":" + percent(password)) +
                    "@" + hosts_with_ports(target) + "/" + percent(target.info.database);
  auto add = [&out, mark = '?'](const std::string& parameter) mutable { out += std::exchange(mark, '&') + parameter; };
  if (target.choose) add("target_session_attrs=" + libpq_role(target));
  if (target.read_only) add("options=" + percent(kReadOnly));
  if (target.tls()) add("sslmode=require");
  return out;
}

std::string format_url(const Target& target, const UrlOptions& options) {
  static constexpr const char* kEnv[8] = {
      "PGHOST", "PGPORT", "PGUSER", "PGDATABASE", "PGPASSWORD", "PGTARGETSESSIONATTRS", "PGOPTIONS", "PGSSLMODE"};
  static constexpr const char* kService[8] = {"host",    "port",   "user", "dbname", "password", "target_session_attrs",
                                              "options", "sslmode"};
  const std::string password = options.show_password ? target.info.password.reveal() : "";
  if (options.format == "dsn") return dsn(target, password);
  if (options.format == "jdbc") return jdbc(target, password);
  if (options.format == "npgsql") return npgsql(target, password);
  if (options.format == "env") return settings(target, password, kEnv);
  if (options.format == "service") return "[" + options.service + "]\n" + settings(target, password, kService);
  if (options.format == "pgpass") return pgpass(target);
  return uri(target, password);
}

Result<const model::Balancer*> group_of(const model::Cluster& cluster, const std::string& name) {
  const model::Balancer* found = name.empty() ? &cluster.balancers.at(0) : cluster.find_balancer(name);
  if (found == nullptr) return Error(Code::kNoBalancer, "there is no balancer " + name);
  return found;
}

Result<std::vector<uint16_t>> ports_for(const model::Cluster& cluster, const UrlOptions& options) {
  if (options.direct && !options.direct->empty()) {
    for (const model::Balancer& balancer : cluster.balancers) {
      for (const model::Node& node : balancer.nodes()) {
        if (node.name == *options.direct) return std::vector<uint16_t>{node.port};
      }
    }
    return Error(Code::kNoNode, "there is no node " + *options.direct);
  }
  auto group = group_of(cluster, options.balancer);
  if (!group.ok()) return std::move(group).error();
  if (!options.direct) return std::vector<uint16_t>{(*group)->port};
  std::vector<uint16_t> ports;
  for (const model::Node& node : (*group)->nodes()) ports.push_back(node.port);
  return ports;
}

// A replica? Asked with what the program will connect with. Only who wants to know is told: through the balancer the
// question would go to the primary, and wait for it.
Result<bool> is_replica(const Target& target, uint16_t port, Deadline deadline) {
  pgclient::ConnInfo info = target.info;
  info.port = port;
  if (target.read_only) info.options = kReadOnly;
  auto connection = pgclient::Connection::open(info, deadline);
  if (!connection.ok()) return std::move(connection).error();
  auto answer = (*connection)->query(target.choose ? "SELECT pg_is_in_recovery() AS replica" : "SELECT 1", deadline);
  if (!answer.ok()) return std::move(answer).error();
  return !answer->empty() && answer->back().get(0, "replica") == "t";
}

// As a driver would: one after the other until one is of the wanted kind.
Status try_it(const Target& target, Deadline deadline) {
  const bool writes = target.choose && !target.read_only;
  Error none(Code::kNotReady, writes ? "none of the servers takes writes" : "none of the servers answers");
  for (uint16_t port : target.ports) {
    auto replica = is_replica(target, port, deadline);
    if (replica.ok() && !(writes && *replica)) return {};
    if (!replica.ok() && target.ports.size() == 1) return std::move(replica).error();
    none.with(std::to_string(port), replica.ok() ? "a replica" : replica.error().message);
  }
  return none;
}

}  // namespace

Result<std::string> url(Session& session, const UrlOptions& options) {
  auto cluster = session.recorded();
  if (!cluster.ok()) return std::move(cluster).error();
  auto secrets = session.secrets(false);
  if (!secrets.ok()) return std::move(secrets).error();
  auto ports = ports_for(*cluster, options);
  if (!ports.ok()) return std::move(ports).error();
  Target target{server_conninfo(*cluster, *secrets, ports->front()), *ports};
  if (!options.direct) target.info = balancer_conninfo(*cluster, *secrets, **group_of(*cluster, options.balancer));
  const bool all = options.direct && options.direct->empty();
  target.read_only = options.role == "ro";
  target.choose = options.direct && (options.role == "rw" || target.read_only || (all && options.role.empty()));
  if (options.check) {
    if (Status works = try_it(target, Deadline::after(seconds(5))); !works.ok()) {
      return std::move(works).error().in("this address does not work now").with("try", "pgbalancer_cluster status");
    }
  }
  UrlOptions shown = options;
  shown.service = cluster->cluster_name;
  std::string text = format_url(target, shown);
  if (options.format != "env" || options.direct) return text;
  text += "\nPGBALANCER_REST_URL=" + web_url(*cluster, **group_of(*cluster, options.balancer));
  const bool told = options.show_password && !secrets->stats_token.empty();
  return told ? text + "\nPGBALANCER_STATS_TOKEN=" + secrets->stats_token.reveal() : text;
}

std::string web_url(const model::Cluster& cluster, const model::Balancer& balancer) {
  return (balancer.config.rest_tls ? "https://" : "http://") + reachable_host(cluster) + ":" +
         std::to_string(balancer.rest_api_port) + "/";
}

Result<std::string> web_url(Session& session, const std::string& balancer) {
  auto cluster = session.recorded();
  if (!cluster.ok()) return std::move(cluster).error();
  auto group = group_of(*cluster, balancer);
  if (!group.ok()) return std::move(group).error();
  return web_url(*cluster, **group);
}

}  // namespace pgb::cluster
