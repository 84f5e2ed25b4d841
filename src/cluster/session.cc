#include "cluster/session.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <mutex>
#include <nlohmann/json.hpp>

#include "cluster/pcp_clients.h"
#include "cluster/time_text.h"
#include "cluster/wanted.h"
#include "model/topology_json.h"
#include "os/file.h"
#include "runtime/process_runtime.h"

namespace pgb::cluster {

using nlohmann::json;

namespace {

using RuntimeResult = Result<std::unique_ptr<runtime::Runtime>>;

RuntimeResult make_docker(const Session& session) {
  runtime::DockerOptions options;
  options.agent_binary_path = os::self_exe_dir() + "/pgbalancer_agent";
  options.balancer_binary_path = os::self_exe_dir() + "/pgbalancer";
  options.state_dir = session.state_dir;
  options.pull = session.options.pull;
  options.trace = session.options.trace;
  return runtime::make_docker_runtime(std::move(options));
}

RuntimeResult make_process(const Session& session) {
  runtime::ProcessOptions options;
  options.agent_binary = os::self_exe_dir() + "/pgbalancer_agent";
  options.balancer_binary = os::self_exe_dir() + "/pgbalancer";
  options.state_dir = session.state_dir;
  options.bin_dir = session.wanted.postgres.bin_dir;
  options.trace = session.options.trace;
  return runtime::make_process_runtime(std::move(options));
}

// With "auto", what the cluster was made with goes before what the machine has now.
RuntimeResult choose_runtime(Session& session) {
  std::string kind = session.options.runtime;
  if (kind.empty()) kind = std::string(model::to_string(session.wanted.runtime));
  const auto recorded = os::read_file(session.cluster_dir() + "/runtime", 64);
  if (recorded.ok() && kind != "auto" && kind != *recorded) {
    return Error(Code::kConfig,
                 "cluster " + session.wanted.cluster_name + " was made with the runtime " + *recorded + ", not " + kind)
        .with("changed", "nothing")
        .with("try", "--runtime " + *recorded + "; to change over, destroy it with that first");
  }
  if (kind == "auto" && recorded.ok()) kind = *recorded;
  if (kind == "process") return make_process(session);
  auto docker = make_docker(session);
  if (docker.ok() || kind == "docker") return docker;
  session.runtime_note = docker.error().message + ": using local processes";
  return make_process(session);
}

std::string base_dir(const std::string& file) {
  const size_t slash = file.rfind('/');
  return slash == std::string::npos ? "" : file.substr(0, slash + 1);
}

std::string beside(const std::string& base, const std::string& path) { return path[0] == '/' ? path : base + path; }

Result<Secret> resolve(const model::PasswordSource& source, const std::string& key, const std::string& base) {
  using Kind = model::PasswordSource::Kind;
  switch (source.kind) {
    case Kind::kGenerated: return Secret::random(16);
    case Kind::kLiteral: return source.literal;
    case Kind::kEnv:
      if (const char* value = std::getenv(source.name.c_str()); value != nullptr && *value != '\0')
        return Secret(value);
      return Error(Code::kConfig, key + ": the environment has no variable " + source.name)
          .with("try", "export " + source.name + "=…");
    case Kind::kFile: {
      auto text = os::read_file(beside(base, source.name), 4096);
      if (!text.ok()) return Error(Code::kConfig, key + ": " + text.error().message);
      while (!text->empty() && (text->back() == '\n' || text->back() == '\r')) text->pop_back();
      return Secret(*text);
    }
  }
  return Error(Code::kInternal, "unknown kind of password");
}

Result<std::string> read_pem(const std::string& path, const std::string& key, const std::string& base) {
  if (path.empty()) return std::string();
  auto text = os::read_file(beside(base, path), 1 << 20);
  if (!text.ok()) return Error(Code::kConfig, key + ": " + text.error().message).with("try", "name a PEM file");
  return text;
}

Status read_store_access(const model::Cluster& cluster, const std::string& base, Secrets& made) {
  const model::EtcdAccess& access = cluster.dcs_access;
  const bool nobody = !cluster.dcs_etcd.empty() && access.password.kind == model::PasswordSource::Kind::kGenerated;
  auto password = nobody ? Result<Secret>(Secret()) : resolve(access.password, "dcs.password", base);
  if (!password.ok()) return std::move(password).error();
  auto ca = read_pem(access.ca_file, "dcs.ca_file", base);
  if (!ca.ok()) return std::move(ca).error();
  auto cert = read_pem(access.cert_file, "dcs.cert_file", base);
  if (!cert.ok()) return std::move(cert).error();
  auto key = read_pem(access.key_file, "dcs.key_file", base);
  if (!key.ok()) return std::move(key).error();
  made.store_password = std::move(*password);
  made.store_ca = std::move(*ca);
  made.store_cert = std::move(*cert);
  made.store_key = Secret(std::move(*key));
  return {};
}

}  // namespace

std::string default_state_dir() {
  if (const char* dir = std::getenv("PGBALANCER_STATE_DIR"); dir != nullptr && *dir == '/') return dir;
  if (geteuid() == 0) return "/var/lib/pgbalancer";
  if (const char* dir = std::getenv("XDG_STATE_HOME"); dir != nullptr && *dir == '/')
    return std::string(dir) + "/pgbalancer";
  const char* home = std::getenv("HOME");
  return std::string(home != nullptr ? home : "/tmp") + "/.local/state/pgbalancer";
}

Result<std::unique_ptr<Session>> Session::open(OpenOptions open_options) {
  auto session = std::make_unique<Session>();
  session->options = std::move(open_options);
  session->state_dir = default_state_dir();
  auto text = model::read_cluster_file(session->options.file);
  if (!text.ok()) return std::move(text).error();
  PGB_TRY(want(*session, *text));
  auto runtime = choose_runtime(*session);
  if (!runtime.ok()) return std::move(runtime).error();
  session->runtime = std::move(*runtime);
  return session;
}

Status want(Session& session, const std::string& text) {
  auto cluster = model::load_cluster(session.options.file, text);
  if (!cluster.ok()) return std::move(cluster).error();
  session.wanted = std::move(*cluster);
  const auto recorded = session.recorded();
  model::Defaults defaults;
  if (recorded.ok()) {
    defaults.failover = recorded->ha.failover;
    if (!recorded->balancers.empty()) defaults.pcp_version = recorded->balancers.front().config.pcp_version;
  } else {
    defaults.pcp_version = pcp_version_here();
  }
  cluster = model::load_cluster(session.options.file, text, defaults);
  if (cluster.ok()) session.wanted = std::move(*cluster);
  return {};
}

Result<model::Cluster> Session::recorded() const {
  const std::string file = cluster_dir() + "/cluster.json";
  auto text = os::read_file(file);
  if (!text.ok() && os::exists(file)) return std::move(text).error();
  if (!text.ok()) {
    return Error(Code::kNoCluster, "cluster " + wanted.cluster_name + " was not made")
        .with("try", "pgbalancer_cluster init --config " + options.file);
  }
  const model::Defaults before_failover{false, "4.4"};  // what a record means that knows nothing of it
  model::Parsed parsed = model::parse_cluster(*text, before_failover);
  if (!parsed.mistakes.empty()) {
    return Error(Code::kIo, "the record of the cluster is damaged: " + parsed.mistakes[0].str(file))
        .with("try", "put the file back from a copy; or pgbalancer_cluster destroy, which takes all data along");
  }
  return std::move(parsed.cluster);
}

namespace {
constexpr const char* kRecordFiles[] = {"cluster.json", "runtime", "secrets.json", "events.jsonl", "lock"};
}

bool Session::has_record() const {
  return std::any_of(std::begin(kRecordFiles), std::end(kRecordFiles),
                     [this](const char* name) { return os::exists(cluster_dir() + "/" + name); });
}

void Session::forget_record() const {
  if (has_record()) {  // ours: what is half made in them, too
    (void)os::remove_tree(cluster_dir() + "/units");
    (void)os::remove_tree(cluster_dir() + "/certificates");
  }
  if (const auto names = os::list_dir(cluster_dir()); names.ok()) {
    for (const std::string& name : *names) {  // also what a manager that was killed had not renamed yet
      const bool ours = std::any_of(
          std::begin(kRecordFiles), std::end(kRecordFiles),
          [&name](const std::string& known) { return name == known || name.rfind(known + ".tmp.", 0) == 0; });
      if (ours) ::unlink((cluster_dir() + "/" + name).c_str());
    }
  }
  ::rmdir(cluster_dir().c_str());  // fails when somebody's files are there: they stay
}

Status Session::record(const model::Cluster& cluster) const {
  PGB_TRY(os::make_dirs(cluster_dir(), 0755));
  PGB_TRY(os::write_file_atomic(cluster_dir() + "/runtime", model::to_string(runtime->kind()), 0644));
  return os::write_file_atomic(cluster_dir() + "/cluster.json", model::to_json(cluster), 0600);
}

static Status write_secrets(const std::string& file, const Secrets& secrets) {
  json doc{{"superuser_password", secrets.superuser_password.reveal()},
           {"replication_password", secrets.replication_password.reveal()},
           {"agent_password", secrets.agent_password.reveal()},
           {"balancer_password", secrets.balancer_password.reveal()},
           {"agent_token", secrets.agent_token.reveal()},
           {"balancer_token", secrets.balancer_token.reveal()},
           {"store_password", secrets.store_password.reveal()},
           {"stats_token", secrets.stats_token.reveal()}};
  if (!secrets.store_ca.empty()) doc["store_ca"] = secrets.store_ca;
  if (!secrets.store_cert.empty()) doc["store_cert"] = secrets.store_cert;
  if (!secrets.store_key.empty()) doc["store_key"] = secrets.store_key.reveal();
  return os::write_file_atomic(file, doc.dump(2), 0600);
}

Result<Secrets> Session::secrets(bool create) const {
  const std::string file = cluster_dir() + "/secrets.json";
  auto text = os::read_file(file);
  if (text.ok()) {
    const json doc = json::parse(*text, nullptr, false);
    auto get = [&](const char* key) { return Secret(doc.is_object() ? doc.value(key, "") : ""); };
    Secrets known{get("superuser_password"), get("replication_password"), get("agent_password"),
                  get("balancer_password"),  get("agent_token"),          get("balancer_token"),
                  get("store_password"),     get("store_ca").reveal(),    get("store_cert").reveal(),
                  get("store_key"),          get("stats_token")};
    if (known.superuser_password.empty() || known.agent_token.empty()) {
      return Error(Code::kIo, file + " is damaged").with("try", "pgbalancer_cluster destroy, then init");
    }
    if (!create) return known;
    // Recorded before there was such a thing; what an etcd wants to see gets old and is read again.
    const bool asks_store = known.store_password.empty() || !wanted.dcs_etcd.empty();
    if (asks_store) PGB_TRY(read_store_access(wanted, base_dir(options.file), known));
    const bool lacks_token = known.stats_token.empty();
    if (lacks_token) known.stats_token = Secret::random(16);
    if (asks_store || lacks_token) PGB_TRY(write_secrets(file, known));
    return known;
  }
  if (!create) return Error(Code::kNoCluster, "cluster " + wanted.cluster_name + " was not made");
  const std::string base = base_dir(options.file);
  auto super = resolve(wanted.postgres.password, "postgres.password", base);
  if (!super.ok()) return std::move(super).error();
  auto replication = resolve(wanted.postgres.replication_password, "postgres.replication_password", base);
  if (!replication.ok()) return std::move(replication).error();
  Secrets made;
  made.superuser_password = *super;
  made.replication_password = *replication;
  made.agent_password = Secret::random(16);
  made.balancer_password = Secret::random(16);
  made.agent_token = Secret::random(16);
  made.balancer_token = Secret::random(16);
  made.stats_token = Secret::random(16);
  PGB_TRY(read_store_access(wanted, base, made));
  PGB_TRY(os::make_dirs(cluster_dir(), 0755));
  PGB_TRY(write_secrets(file, made));
  return made;
}

void Session::log_event(const std::string& text) const {
  std::ofstream out(events_file(), std::ios::app);
  if (out) out << json{{"time", utc_now()}, {"cluster", wanted.cluster_name}, {"text", text}}.dump() << "\n";
}

std::optional<Session::Past> Session::last_event() const {
  const auto text = os::read_file(events_file());
  if (!text.ok()) return std::nullopt;
  const size_t end = text->rfind('\n');
  if (end == std::string::npos) return std::nullopt;
  const size_t before = end == 0 ? std::string::npos : text->rfind('\n', end - 1);
  const size_t begin = before == std::string::npos ? 0 : before + 1;
  const json event = json::parse(text->substr(begin, end - begin), nullptr, false);
  if (!event.is_object() || !event.contains("time") || !event.contains("text")) return std::nullopt;
  if (!event["time"].is_string() || !event["text"].is_string()) return std::nullopt;
  return Past{event["time"].get<std::string>(), event["text"].get<std::string>()};
}

void Session::tell(const std::string& id, Event::State state, const std::string& text) const {
  if (!options.on_event) return;
  const std::lock_guard lock(*mutex_);
  const auto now = Deadline::Clock::now();
  const auto [began, fresh] = began_.try_emplace(id, now);
  (void)fresh;
  options.on_event({id, state, text, std::chrono::duration<double>(now - began->second).count()});
}

Status Session::check_interrupted() const {
  const int signal = options.interrupted != nullptr ? options.interrupted->load() : 0;
  if (signal == SIGTERM) return Error(Code::kTerminated, "terminated");
  if (signal != 0) return Error(Code::kInterrupted, "interrupted");
  if (options.deadline.expired()) return Error(Code::kTimeout, "the time limit passed");
  return {};
}

}  // namespace pgb::cluster
