// The verbs that only look: logs, list, url, doctor.
#include <cctype>
#include <cstdio>
#include <map>

#include "cluster/probe.h"
#include "cluster/units.h"
#include "cluster/verbs.h"
#include "model/topology_json.h"
#include "os/bin_dir.h"
#include "os/file.h"
#include "runtime/docker_runtime.h"
#include "runtime/process_runtime.h"

namespace pgb::cluster {

using std::chrono::seconds;

Result<std::string> logs(Session& session, const std::string& name, int lines) {
  auto units = existing_units(session, Deadline::after(seconds(10)));
  if (!units.ok()) return std::move(units).error();
  if (units->count(name) == 0) {
    std::string known;
    for (const auto& [unit, info] : *units) known += (known.empty() ? "" : ", ") + unit;
    return Error(Code::kNoNode, "there is no node or balancer " + name).with("known", known.empty() ? "none" : known);
  }
  return session.runtime->logs(session.wanted.cluster_name, name, lines, Deadline::after(seconds(10)));
}

namespace {

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

std::string format_url(const pgclient::ConnInfo& info, const UrlOptions& options) {
  const std::string port = std::to_string(info.port);
  const std::string password = options.show_password ? info.password.reveal() : "";
  if (options.format == "dsn") {
    return "host=" + info.host + " port=" + port + " dbname=" + conninfo_quote(info.database) +
           " user=" + conninfo_quote(info.user) + (password.empty() ? "" : " password=" + conninfo_quote(password));
  }
  if (options.format == "jdbc") {
    return "jdbc:postgresql://" + info.host + ":" + port + "/" + percent(info.database) +
           "?user=" + percent(info.user) + (password.empty() ? "" : "&password=" + percent(password));
  }
  if (options.format == "env") {
    return "PGHOST=" + info.host + "\nPGPORT=" + port + "\nPGUSER=" + info.user + "\nPGDATABASE=" + info.database +
           (password.empty() ? "" : "\nPGPASSWORD=" + password);
  }
  if (options.format == "service") {  // a section of pg_service.conf: values stand as they are, to the line's end
    return "[" + options.service + "]\nhost=" + info.host + "\nport=" + port + "\nuser=" + info.user +
           "\ndbname=" + info.database + (password.empty() ? "" : "\npassword=" + password);
  }
  if (options.format == "npgsql") {
    return "Host=" + info.host + ";Port=" + port + ";Database=" + npgsql_quote(info.database) +
           ";Username=" + npgsql_quote(info.user) + (password.empty() ? "" : ";Password=" + npgsql_quote(password));
  }
  if (options.format == "pgpass") return info.host + ":" + port + ":*:" + info.user + ":" + info.password.reveal();
  return "postgresql://" + percent(info.user) + (password.empty() ? "" : ":" + percent(password)) + "@" + info.host +
         ":" + port + "/" + percent(info.database);
}

Result<uint16_t> url_port(const model::Cluster& cluster, const UrlOptions& options) {
  if (!options.direct.empty()) {
    for (const model::Balancer& balancer : cluster.balancers) {
      for (const model::Node& node : balancer.nodes()) {
        if (node.name == options.direct) return node.port;
      }
    }
    return Error(Code::kNoNode, "there is no node " + options.direct);
  }
  if (options.balancer.empty()) return cluster.balancers.at(0).port;
  const model::Balancer* balancer = cluster.find_balancer(options.balancer);
  if (balancer == nullptr) return Error(Code::kNoBalancer, "there is no balancer " + options.balancer);
  return balancer->port;
}

}  // namespace

Result<std::string> url(Session& session, const UrlOptions& options) {
  auto cluster = session.recorded();
  if (!cluster.ok()) return std::move(cluster).error();
  auto secrets = session.secrets(false);
  if (!secrets.ok()) return std::move(secrets).error();
  auto port = url_port(*cluster, options);
  if (!port.ok()) return std::move(port).error();
  const pgclient::ConnInfo info = server_conninfo(*cluster, *secrets, *port);
  if (options.check) {
    auto works = probe_query(info, Deadline::after(seconds(5)));
    if (!works.ok()) {
      return std::move(works).error().in("this address does not work now").with("try", "pgbalancer_cluster status");
    }
  }
  UrlOptions shown = options;
  shown.service = cluster->cluster_name;
  return format_url(info, shown);
}

namespace {

// Both runtimes, as far as they can be had; a missing one has no clusters.
std::vector<std::unique_ptr<runtime::Runtime>> all_runtimes(const OpenOptions& options) {
  std::vector<std::unique_ptr<runtime::Runtime>> runtimes;
  const std::string programs = os::self_exe_dir();
  runtime::ProcessOptions process;
  process.state_dir = default_state_dir();
  process.agent_binary = programs + "/pgbalancer_agent";
  process.balancer_binary = programs + "/pgbalancer";
  process.trace = options.trace;
  if (auto made = runtime::make_process_runtime(std::move(process)); made.ok()) runtimes.push_back(std::move(*made));
  runtime::DockerOptions docker;
  docker.agent_binary_path = programs + "/pgbalancer_agent";
  docker.balancer_binary_path = programs + "/pgbalancer";
  docker.state_dir = default_state_dir();
  docker.trace = options.trace;
  if (auto made = runtime::make_docker_runtime(std::move(docker)); made.ok()) runtimes.push_back(std::move(*made));
  return runtimes;
}

}  // namespace

Result<std::vector<Listed>> list(const OpenOptions& options) {
  std::vector<Listed> found;
  for (const auto& runtime : all_runtimes(options)) {
    auto names = runtime->clusters(Deadline::after(seconds(5)));
    if (!names.ok()) return std::move(names).error();
    for (const std::string& name : *names) {
      auto units = runtime->list(name, Deadline::after(seconds(5)));
      if (!units.ok()) return std::move(units).error();
      Listed one{name, std::string(model::to_string(runtime->kind())), units->size(), 0};
      for (const runtime::UnitInfo& unit : *units) one.running += unit.state == runtime::UnitState::kRunning ? 1 : 0;
      found.push_back(one);
    }
  }
  return found;
}

std::vector<Check> doctor(const OpenOptions& options) {
  std::vector<Check> checks;
  const auto add = [&](bool good, Check::Result bad, std::string what, std::string text) {
    checks.push_back({good ? Check::Result::kOk : bad, std::move(what), std::move(text)});
  };
  const std::string state = default_state_dir();
  auto bin = os::find_bin_dir("");
  bool docker = false;
  std::string engine = "no container engine answers";
  for (const auto& runtime : all_runtimes(options)) {
    if (runtime->kind() != model::RuntimeKind::kDocker) continue;
    docker = true;
    engine = runtime->describe();
  }
  add(docker, Check::Result::kWarning, "engine", engine);
  add(bin.ok(), docker ? Check::Result::kWarning : Check::Result::kFailed, "postgres",
      bin.ok() ? *bin : bin.error().message + (docker ? " (needed for local processes only)" : ""));
  for (const char* program : {"pgbalancer_agent", "pgbalancer"}) {
    const std::string path = os::self_exe_dir() + "/" + program;
    add(os::exists(path), Check::Result::kFailed, program, path);
  }
  auto space = os::free_bytes(state);
  add(space.ok() && *space > (2ull << 30), Check::Result::kWarning, "disk",
      space.ok() ? std::to_string(*space >> 20) + " MB free for " + state : space.error().message);
  auto file = model::load_cluster(options.file);
  if (os::exists(options.file)) {
    add(file.ok(), Check::Result::kFailed, "file", file.ok() ? options.file + " is right" : file.error().message);
  }
  return checks;
}

}  // namespace pgb::cluster
