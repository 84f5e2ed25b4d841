// The balancer: reads its configuration, serves PostgreSQL clients and the REST interface, and watches
// the servers until it is told to stop.
#include <grp.h>
#include <poll.h>
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstring>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "base/log.h"
#include "control/balancer_config.h"
#include "control/load_tls.h"
#include "control/rest_api.h"
#include "http/server.h"
#include "os/signals.h"
#include "proxy/health.h"
#include "proxy/proxy.h"

namespace {

using namespace pgb;
using control::BalancerConfig;

constexpr char kUsage[] =
    "usage: pgbalancer --config FILE [--check]\n"
    "       pgbalancer --version\n"
    "  --config FILE  the balancer's JSON configuration\n"
    "  --check        only says whether the configuration is right\n";

struct Options {
  std::string config;
  bool check = false;
  bool version = false;
  bool help = false;
};

Result<Options> parse_options(const std::vector<std::string>& args) {
  Options options;
  for (size_t i = 0; i < args.size(); ++i) {
    if (args[i] == "--config" && i + 1 < args.size()) {
      options.config = args[++i];
    } else if (args[i].rfind("--config=", 0) == 0) {
      options.config = args[i].substr(9);
    } else if (args[i] == "--check") {
      options.check = true;
    } else if (args[i] == "--version") {
      options.version = true;
    } else if (args[i] == "--help" || args[i] == "-h") {
      options.help = true;
    } else {
      return Error(Code::kUsage, "unknown or incomplete option " + args[i]).with("try", "pgbalancer --help");
    }
  }
  if (options.config.empty() && !options.version && !options.help) {
    return Error(Code::kUsage, "--config is missing").with("try", "pgbalancer --config balancer.json");
  }
  return options;
}

int report(const Error& error) {
  const ErrorInfo& info = error_info(error.code);
  std::fprintf(stderr, "pgbalancer: %s [%.*s]\n", error.message.c_str(), static_cast<int>(info.id.size()),
               info.id.data());
  for (const auto& [label, text] : error.details) std::fprintf(stderr, "  %s: %s\n", label.c_str(), text.c_str());
  return info.exit_code;
}

// Every client needs two descriptors.
void raise_file_limit() {
  rlimit limit = {};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

Status drop_root(const BalancerConfig& config) {
  if (::geteuid() != 0) return Status();
  const auto failed = [](const char* what) {
    return Error(Code::kIo, std::string("cannot give up root: ") + what + ": " + std::strerror(errno));
  };
  if ((config.run_as_group || config.run_as_user) && ::setgroups(0, nullptr) != 0) return failed("setgroups");
  if (config.run_as_group && ::setgid(*config.run_as_group) != 0) return failed("setgid");
  if (config.run_as_user && ::setuid(*config.run_as_user) != 0) return failed("setuid");
  return Status();
}

Result<proxy::Settings> proxy_settings(const BalancerConfig& config) {
  proxy::Settings settings;
  settings.group = config.group;
  settings.listen_address = config.listen_address;
  settings.port = config.port;
  settings.threads = config.pool.threads;
  settings.batch_scheduling = config.pool.scheduling == "batch";
  settings.io_uring = config.pool.io_uring == "auto";
  settings.pool = config.pool_settings();
  settings.auth_user = config.auth_user;
  settings.auth_query = config.auth_query;
  for (const control::User& user : config.users) settings.users.emplace(user.name, user.secret);
  settings.auth_password = config.auth_password;
  settings.hba = config.hba;
  auto tls = control::load_tls(config);
  if (!tls) return std::move(tls).error();
  settings.tls = std::make_shared<proxy::TlsKeeper>(std::move(*tls));
  return settings;
}

// Rules that are right but can never hold: a restart with other keys would change that, so they are no mistakes.
void warn_of_idle_rules(const BalancerConfig& config) {
  const bool tls = !config.tls_cert_file.empty() && config.tls_mode != "disable";
  if (tls || !config.hba || !config.hba->speaks_of_tls()) return;
  log::warn("no hostssl rule of " + config.hba_file + " will ever hold: clients get no TLS; set tls_cert_file");
}

// The running balancer: the proxy and who tells it about the servers.
class Balancer {
 public:
  Balancer(std::string path, BalancerConfig config, proxy::TlsKeeperPtr tls, proxy::ProbeBellPtr bell,
           std::unique_ptr<proxy::Proxy> proxy)
      : path_(std::move(path)),
        config_(std::move(config)),
        tls_(std::move(tls)),
        bell_(std::move(bell)),
        proxy_(std::move(proxy)) {
    start_monitor();
  }
  ~Balancer() {
    proxy_->stop();
    monitor_.reset();
  }

  proxy::Proxy& proxy() { return *proxy_; }

  // The limits, the nodes, the rules for logins and, for new connections, the certificates change at once; what
  // concerns sockets and passwords needs a restart. After an error everything is as it was.
  Status reload() {
    const std::lock_guard lock(mutex_);
    auto fresh = control::load_balancer_config(path_);
    if (!fresh) return std::move(fresh).error();
    auto tls = control::load_tls(*fresh);
    if (!tls) return std::move(tls).error();
    tls_->set(std::move(*tls));
    proxy_->set_pool(fresh->pool_settings());
    proxy_->set_hba(fresh->hba);
    warn_of_idle_rules(*fresh);
    const bool nodes_changed = fresh->nodes != config_.nodes;
    config_.pool = fresh->pool;
    config_.read_write_split = fresh->read_write_split;
    config_.nodes = fresh->nodes;
    if (nodes_changed) start_monitor();
    log::info(nodes_changed ? "configuration read again: the nodes have changed" : "configuration read again");
    return Status();
  }

 private:
  void start_monitor() {
    monitor_.reset();
    proxy::HealthSettings settings;
    settings.user = config_.auth_user;
    settings.password = config_.auth_password;
    settings.tls = tls_;
    settings.bell = bell_;
    proxy::TopologySnapshot first = config_.topology();
    const proxy::TopologyPtr now = proxy_->topology();
    first.version = now->version + 1;
    for (proxy::NodeView& node : first.nodes) {  // what is known about a node that stays is not forgotten
      const proxy::NodeView* known = now->find(node.name);
      if (known == nullptr || known->address() != node.address()) continue;
      const proxy::NodeView fresh = std::exchange(node, *known);
      node.weight = fresh.weight;
      node.tls_host = fresh.tls_host;
    }
    auto snapshot = std::make_shared<const proxy::TopologySnapshot>(std::move(first));
    proxy_->apply(snapshot);
    monitor_ = std::make_unique<proxy::HealthMonitor>(
        std::move(settings), snapshot, [this](proxy::TopologyPtr changed) { proxy_->apply(std::move(changed)); });
  }

  const std::string path_;
  std::mutex mutex_;
  BalancerConfig config_;
  const proxy::TlsKeeperPtr tls_;
  const proxy::ProbeBellPtr bell_;
  std::unique_ptr<proxy::Proxy> proxy_;
  std::unique_ptr<proxy::HealthMonitor> monitor_;
};

std::string probe_host(const std::string& listen_address) {
  if (listen_address == "0.0.0.0" || listen_address.empty()) return "127.0.0.1";
  return listen_address == "::" ? "::1" : listen_address;
}

void wait_for_signals(os::SignalFd& signals, Balancer& balancer) {
  for (;;) {
    pollfd waiting = {signals.fd(), POLLIN, 0};
    if (::poll(&waiting, 1, -1) < 0 && errno != EINTR) return;
    const auto signal = signals.read();
    if (!signal) continue;
    if (*signal != SIGHUP) {
      log::info("stopping: " + os::signal_name(*signal));
      return;
    }
    const Status reloaded = balancer.reload();
    if (reloaded.ok()) continue;
    log::error("the configuration stays as it was: " + reloaded.error().message);
    for (const auto& [label, text] : reloaded.error().details) log::error("  " + label + ": " + text);
  }
}

Status run(const Options& options) {
  auto config = control::load_balancer_config(options.config);
  if (!config) return std::move(config).error();
  auto settings = proxy_settings(*config);  // before root is given up: the key may be root's
  if (!settings) return std::move(settings).error();
  if (options.check) return Status();

  log::debug("starting");  // the default logger must exist before one of the same name replaces it
  log::setup("pgbalancer", log::Level::kInfo);
  warn_of_idle_rules(*config);
  raise_file_limit();
  auto signals = os::SignalFd::open({SIGTERM, SIGINT, SIGHUP});
  if (!signals) return std::move(signals).error();
  const proxy::TlsKeeperPtr tls = settings->tls;
  const proxy::ProbeBellPtr bell = settings->bell;
  auto proxy = proxy::Proxy::start(std::move(*settings), std::make_shared<proxy::TopologySnapshot>(config->topology()));
  if (!proxy) return std::move(proxy).error();
  Balancer balancer(options.config, *config, tls, bell, std::move(*proxy));

  control::RestSettings rest_settings{config->token,
                                      config->group,
                                      probe_host(config->listen_address),
                                      config->auth_user,
                                      config->auth_password,
                                      "postgres",
                                      tls};
  control::RestApi api(std::move(rest_settings), balancer.proxy(), [&balancer] { return balancer.reload(); });
  std::unique_ptr<http::Server> rest;  // ends before what it uses
  if (config->rest_port != 0) {
    auto server = http::Server::start(config->rest_address, config->rest_port,
                                      [&api](const http::Request& request) { return api.handle(request); });
    if (!server) return std::move(server).error();
    rest = std::move(*server);
  }
  PGB_TRY(drop_root(*config));
  log::info("group " + config->group + ": PostgreSQL on " + config->listen_address + ":" +
            std::to_string(balancer.proxy().port()) + (rest ? ", REST on port " + std::to_string(rest->port()) : ""));
  wait_for_signals(*signals, balancer);
  return Status();
}

}  // namespace

int main(int argc, char** argv) {
  const auto options = parse_options(std::vector<std::string>(argv + 1, argv + argc));
  if (!options) return report(options.error());
  if (options->help) return std::fputs(kUsage, stdout) < 0;
  if (options->version) return std::printf("pgbalancer %s\n", PGB_VERSION) < 0;
  const Status status = run(*options);
  return status.ok() ? 0 : report(status.error());
}
