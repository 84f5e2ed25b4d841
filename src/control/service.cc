#include "control/service.h"

#include <grp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <thread>
#include <utility>

#include "base/log.h"
#include "dcs/etcd_client.h"
#include "dcs/keys.h"
#include "os/file.h"
#include "os/subprocess.h"

namespace pgb::control {
namespace {

constexpr std::chrono::milliseconds kLook{100};  // how often it looks whether the last client is gone
constexpr std::chrono::seconds kFindPrimary{3};  // before it takes over: its first clients should not have to wait
constexpr size_t kMostRestClients = 64;
constexpr std::chrono::seconds kAskServers{5};   // for a user's secret
constexpr std::chrono::seconds kEtcdSilence{3};  // after which who led there may have been replaced: a short lease
constexpr std::chrono::seconds kStoreLetGo{5};   // after it took over: by the process that ran before

// Every client needs two descriptors.
void raise_file_limit() {
  rlimit limit = {};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

// The lease store's directory may be a volume in which only root can write so far.
Status give_store(const BalancerConfig& config) {
  if (config.store_dir.empty() || ::geteuid() != 0 || !config.run_as_user) return Status();
  PGB_TRY(os::make_dirs(config.store_dir, 0700));
  const gid_t group = config.run_as_group.value_or(static_cast<gid_t>(-1));
  if (::chown(config.store_dir.c_str(), *config.run_as_user, group) == 0) return Status();
  return os::errno_error("chown", config.store_dir, errno);
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

std::string probe_host(const std::string& listen_address) {
  if (listen_address == "0.0.0.0" || listen_address.empty()) return "127.0.0.1";
  return listen_address == "::" ? "::1" : listen_address;
}

bool is_loopback(const std::string& address) {
  return address == "localhost" || address == "::1" || address.rfind("127.", 0) == 0;
}

// Nothing if the log is in no file.
std::function<Status()> reopen_log(const BalancerConfig& config) {
  if (config.log_file.empty()) return {};
  return [file = config.log_file] {
    return log::write_to(file) ? Status() : Status(os::errno_error("open", file, errno).in("log_file"));
  };
}

Deadline limit_of(double seconds) {
  if (seconds <= 0) return Deadline::never();
  return Deadline::after(std::chrono::milliseconds(static_cast<int64_t>(seconds * 1000)));
}

Status open_log(const BalancerConfig& config) {
  log::debug("starting");  // the default logger must exist before one of the same name replaces it
  if (!config.log_file.empty() && !log::write_to(config.log_file)) {
    return os::errno_error("open", config.log_file, errno).in("log_file");
  }
  log::setup("pgbalancer", log::Level::kInfo, config.log_format == "json" ? log::Format::kJson : log::Format::kText);
  return Status();
}

// Holds the pid alone, as supervisors expect it; taken away at the end, unless a successor has written its own or is
// about to: it is never missing while somebody serves.
class PidFile {
 public:
  static Status write(const std::string& path) {
    return path.empty() ? Status() : os::write_file_atomic(path, mine(), 0644);
  }
  static void remove(const std::string& path) {
    if (path.empty()) return;
    const auto text = os::read_file(path);
    if (text && *text == mine()) ::unlink(path.c_str());
  }

 private:
  static std::string mine() { return std::to_string(::getpid()) + "\n"; }
};

}  // namespace

Result<std::unique_ptr<Service>> Service::create(Options options, BalancerConfig config) {
  PGB_TRY(open_log(config));
  warn_of_idle_rules(config);
  raise_file_limit();
  auto signals = os::SignalFd::open({SIGTERM, SIGQUIT, SIGINT, SIGHUP, SIGUSR1, SIGUSR2});
  if (!signals) return std::move(signals).error();
  return std::unique_ptr<Service>(new Service(std::move(options), std::move(config), std::move(*signals)));
}

Service::Service(Options options, BalancerConfig config, os::SignalFd signals)
    : options_(std::move(options)),
      config_(std::move(config)),
      signals_(std::move(signals)),
      handed_over_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

Service::~Service() {
  if (balancer_) balancer_->proxy().end_waits();
  if (roles_) roles_->use(nullptr);
  handover_.reset();
  predecessor_.reset();
  rest_.reset();
  pcp_.reset();
  if (console_) console_->stop();
  leader_watch_.reset();
  api_.reset();
  balancer_.reset();
  if (!succeeded_) PidFile::remove(config_.pid_file);
}

Status Service::start(proxy::Settings settings) {
  std::vector<os::UniqueFd> listeners;
  os::UniqueFd rest_listener;
  if (options_.take_over) {
    auto found = Predecessor::find(config_.takeover_socket, config_.run_as_user);
    if (!found) return std::move(found).error();
    predecessor_ = std::move(*found);
    if (!predecessor_) log::info("nobody is at " + config_.takeover_socket + " to take over from");
  }
  if (predecessor_) {
    listeners = predecessor_->postgres_listeners(config_.listen_address, config_.port);
    rest_listener = predecessor_->rest_listener(config_.rest_address, config_.rest_port);
  }
  tls_ = settings.tls;
  auto balancer = Balancer::start(options_.config, config_, std::move(settings), std::move(listeners));
  if (!balancer) return std::move(balancer).error();
  balancer_ = std::move(*balancer);
  make_surfaces();
  if (config_.rest_port != 0 && !rest_listener) {
    const auto fd = http::Server::listen(config_.rest_address, config_.rest_port);
    if (!fd) return fd.error();
    rest_listener = os::UniqueFd(*fd);
  }
  Secret token_key;
  if (predecessor_) {
    auto key = take_over();
    if (!key) return std::move(key).error();
    token_key = std::move(*key);
  }
  PGB_TRY(or_go_on(PidFile::write(config_.pid_file), "the pid is in no file"));
  make_rest_api(std::move(token_key));
  // Only now, for until here it did not know what was ordered: whoever came meanwhile has waited, or was answered by
  // the process before.
  PGB_TRY(or_go_on(serve_rest(std::move(rest_listener)), "REST is not served any more"));
  PGB_TRY(or_go_on(offer_handover(), "nobody can take over from this process"));
  PGB_TRY(give_store(config_));
  PGB_TRY(drop_root(config_));
  PGB_TRY(or_go_on(open_store(), "the lease store is not kept any more"));
  PGB_TRY(or_go_on(open_etcd(), "etcd is not asked for roles any more"));
  PGB_TRY(or_go_on(open_pcp(), "PCP is not served any more"));
  log::info("group " + config_.group + ": PostgreSQL on " + config_.listen_address + ":" +
            std::to_string(balancer_->proxy().port()) +
            (rest_ ? ", REST on port " + std::to_string(rest_->port()) : ""));
  return Status();
}

// Who has taken over serves clients already: ending would cost them more than that what is missing.
Status Service::or_go_on(Status opened, const char* what_is_missing) const {
  if (opened.ok() || !predecessor_) return opened;
  log::error(std::string(what_is_missing) + ": " + opened.error().message);
  return Status();
}

// All of them, before their ports are open.
void Service::make_surfaces() {
  roles_ = std::make_unique<GroupRoles>(config_.group, config_.cluster);
  // A second SIGINT ends at once, which is not what asking twice for the same means here.
  const auto end = [this](bool wait) {
    if (!wait || !balancer_->proxy().orders()->finishing) ::kill(::getpid(), wait ? SIGINT : SIGTERM);
  };
  actions_.reset(
      new Actions{balancer_->proxy(), [this] { return balancer_->reload(); }, end, reopen_log(config_), roles_.get()});
  const auto config = [this] { return balancer_->config(); };
  console_ = std::make_shared<AdminConsole>(*actions_, config);
  balancer_->proxy().set_console(console_);
}

// When it is known what was ordered of the process before: what it looks at from now on is news.
void Service::make_rest_api(Secret token_key) {
  RestSettings rest;
  rest.token = config_.token;
  rest.stats_token = config_.stats_token;
  rest.group = config_.group;
  rest.cluster = config_.cluster;
  rest.probe_host = probe_host(config_.listen_address);
  rest.probe_user = config_.auth_user;
  rest.probe_password = config_.auth_password;
  rest.tls = tls_;
  rest.token_key = std::move(token_key);
  rest.local_reads = config_.rest_local_reads && is_loopback(config_.rest_address);
  const auto secret_of = [this](const std::string& user) { return balancer_->proxy().secret_of(user, kAskServers); };
  const auto config = [this] { return balancer_->config(); };
  api_ = std::make_unique<RestApi>(std::move(rest), *actions_, Logins::Surroundings{config, secret_of});
}

Status Service::serve_rest(os::UniqueFd listener) {
  if (config_.rest_port == 0) return Status();
  const auto handle = [this](const http::Request& request) { return api_->handle(request); };
  const auto context = [keeper = tls_] {
    const proxy::TlsSetup setup = keeper->get();
    return setup.to_browsers ? setup.to_browsers->share() : nullptr;
  };
  auto server = http::Server::start(listener.release(), handle, kMostRestClients, context);
  if (!server) return std::move(server).error();
  rest_ = std::move(*server);
  return Status();
}

// Its clients connect for one command each: a process that takes over opens the port anew when the old one has let it
// go.
Status Service::open_pcp() {
  if (config_.pcp_port == 0) return Status();
  const auto make_talk = [this] {
    return PcpTalk({*actions_, [this] { return balancer_->config()->pcp_users; },
                    [this](std::string_view view) { return console_->rows_of(view); }, config_.pcp_version == "4.3"});
  };
  const Deadline limit = Deadline::after(kStoreLetGo);
  auto server = PcpServer::start(config_.pcp_address, config_.pcp_port, make_talk);
  while (!server && predecessor_ && !limit.expired()) {
    std::this_thread::sleep_for(kLook);
    server = PcpServer::start(config_.pcp_address, config_.pcp_port, make_talk);
  }
  if (!server) return std::move(server).error();
  pcp_ = std::move(*server);
  log::info("PCP on " + config_.pcp_address + ":" + std::to_string(pcp_->port()));
  return Status();
}

// The key of the tokens that the other one gave.
Result<Secret> Service::take_over() {
  proxy::Proxy& proxy = balancer_->proxy();
  const Deadline deadline = Deadline::after(kFindPrimary);
  while (proxy.topology()->primary() == nullptr && !deadline.expired()) std::this_thread::sleep_for(kLook);
  auto inherited = predecessor_->take();
  if (!inherited) return std::move(inherited).error();
  proxy.inherit(inherited->orders);
  PGB_TRY(predecessor_->serving(proxy));
  proxy.accept(true);
  log::info("took over; the process that ran before serves its sessions to their end");
  return std::move(inherited->token_key);
}

Status Service::offer_handover() {
  if (config_.takeover_socket.empty()) return Status();
  Handover::Offer offer{config_.listen_address,         balancer_->proxy().port(),
                        config_.rest_address,           rest_ ? rest_->port() : uint16_t{0},
                        rest_ ? rest_->listener() : -1, api_->token_key()};
  auto handover = Handover::start(config_.takeover_socket, config_.run_as_user, std::move(offer), balancer_->proxy(),
                                  [fd = handed_over_.get()] {
                                    const uint64_t one = 1;
                                    [[maybe_unused]] const ssize_t written = ::write(fd, &one, sizeof one);
                                  });
  if (!handover) return std::move(handover).error().in("takeover_socket");
  handover_ = std::move(*handover);
  return Status();
}

// After root was given up: the files are to belong to whoever runs on.
Status Service::open_store() {
  if (config_.store_dir.empty()) return Status();
  const dcs::EmbeddedSettings settings{config_.store_dir, config_.store_address, config_.store_port, "pgbalancer",
                                       config_.store_password};
  const Deadline limit = Deadline::after(kStoreLetGo);
  auto store = dcs::EmbeddedStore::start(settings);
  while (!store && predecessor_ && !limit.expired()) {
    std::this_thread::sleep_for(kLook);
    store = dcs::EmbeddedStore::start(settings);
  }
  if (!store) return std::move(store).error();
  store_ = std::move(*store);
  roles_->use(std::shared_ptr<dcs::Dcs>(store_, &store_->store()));
  watch_leader({store_->store(), config_.group});
  log::info("lease store on " + config_.store_address + ":" + std::to_string(store_->port()));
  return Status();
}

void Service::watch_leader(WatchedStore watched) {
  leader_watch_ = std::make_unique<LeaderWatch>(
      std::move(watched), [this](std::optional<proxy::Leader> leader) { balancer_->set_leader(std::move(leader)); },
      [this](const std::string& node) { return balancer_->let_leave(node); });
}

// Somebody else's, that keeps other groups, too, and that we may be cut off from while the agents are not.
Status Service::open_etcd() {
  if (config_.etcd.empty()) return Status();
  dcs::EtcdSettings settings;
  settings.endpoints = config_.etcd;
  settings.user = config_.etcd_user;
  settings.password = config_.etcd_password;
  settings.tls = config_.etcd_tls;
  auto etcd = dcs::make_etcd_client(std::move(settings));
  if (!etcd) return std::move(etcd).error().in("etcd");
  etcd_ = std::move(*etcd);
  roles_->use(etcd_);
  watch_leader({*etcd_, config_.group, dcs::Keys(config_.cluster, config_.group).root(), kEtcdSilence});
  return Status();
}

// Nobody needs this process any more: neither its clients, nor a process that ran before it and is told by it what was
// ordered, and whom to cancel.
bool Service::is_over() const {
  if (!ending_ || balancer_->proxy().stats().connections > 0) return false;
  return transactions_only_ || !predecessor_ || predecessor_->has_ended();
}

void Service::serve() {
  while (!is_over()) {
    pollfd waiting[2] = {{signals_.fd(), POLLIN, 0}, {handed_over_.get(), POLLIN, 0}};
    if (::poll(waiting, 2, ending_ ? static_cast<int>(kLook.count()) : -1) < 0 && errno != EINTR) return;
    uint64_t count = 0;
    if (::read(handed_over_.get(), &count, sizeof count) == sizeof count) go_on_without_sockets();
    if (const auto signal = signals_.read(); signal && !on_signal(*signal)) return;
    if (!ending_ || !until_.expired()) continue;
    if (transactions_only_) return log::warn("shutdown_timeout is over: the last sessions end now");
    log::info("takeover_timeout is over: sessions end after their transaction");
    shut_down();
  }
  log::info("the last client has left");
}

// False: end at once.
bool Service::on_signal(int signal) {
  switch (signal) {
    case SIGHUP: reload(); return true;
    case SIGUSR1:
      if (!config_.log_file.empty()) log::write_to(config_.log_file);
      return true;
    case SIGUSR2: spawn_successor(); return true;
    case SIGINT:
      if (transactions_only_) break;
      log::info("stopping: SIGINT; sessions end after their transaction");
      shut_down();
      return true;
    default: break;
  }
  log::info("stopping: " + os::signal_name(signal));
  return false;
}

void Service::shut_down() {
  if (!ending_) handover_.reset();  // nobody shall take over what ends
  if (!transactions_only_) balancer_->proxy().finish();
  ending_ = transactions_only_ = true;
  until_ = limit_of(config_.shutdown_timeout);
}

void Service::go_on_without_sockets() {
  succeeded_ = true;
  log::info("another process has taken over; " + std::to_string(balancer_->proxy().stats().clients) +
            " clients are served to their end");
  balancer_->proxy().end_waits();
  roles_->use(nullptr);
  leader_watch_.reset();
  balancer_->set_leader(std::nullopt);  // what it was gets old
  balancer_->let_leave("");
  store_.reset();  // first: the successor waits for it, but for requests that are answered yet nobody does
  rest_.reset();
  pcp_.reset();
  ending_ = true;
  until_ = limit_of(config_.takeover_timeout);
}

void Service::reload() {
  if (!config_.log_file.empty()) log::write_to(config_.log_file);
  const Status reloaded = balancer_->reload();
  if (reloaded.ok()) return;
  log::error("the configuration stays as it was: " + reloaded.error().message);
  for (const auto& [label, text] : reloaded.error().details) log::error("  " + label + ": " + text);
}

// As others do it on SIGUSR2: the program as it is on the disk now, with the same configuration.
void Service::spawn_successor() {
  if (config_.takeover_socket.empty() || ending_) {
    return log::error("nothing to hand over: " + std::string(ending_ ? "the balancer ends" : "set takeover_socket"));
  }
  if (::getpid() == 1) {
    return log::error("process 1 does not hand over: when it ends, so does the container with all that is in it");
  }
  os::SpawnOptions how;
  how.argv = {options_.program, "--config", options_.config, "--take-over"};
  how.inherit_output = true;
  const auto pid = os::spawn_detached(how);
  if (!pid) return log::error("no successor could be started: " + pid.error().message);
  log::info("started process " + std::to_string(*pid) + " to take over");
}

}  // namespace pgb::control
