#include "agent/server_acts.h"

#include <poll.h>
#include <signal.h>

#include <cstdlib>
#include <future>

#include "agent/bootstrap.h"
#include "agent/tool.h"
#include "base/log.h"
#include "ha/sync_set.h"
#include "os/file.h"
#include "os/process.h"

namespace pgb::agent {

using pgclient::Connection;
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

constexpr milliseconds kQuery{2000};
constexpr milliseconds kLetGo{1500};  // for a walreceiver to end
constexpr milliseconds kPromotion{10000};
constexpr milliseconds kConsistent{30000};  // for a rewound server
constexpr milliseconds kSettle{60};         // from a reload that is seen to each process' own
constexpr const char* kRetry = "200ms";     // a reload or a promotion ends the pause

std::string real_path(const std::string& path) {
  std::unique_ptr<char, void (*)(void*)> real(::realpath(path.c_str(), nullptr), ::free);
  return real ? std::string(real.get()) : path;
}

Error gone() { return Error(Code::kNotReady, "the server ended meanwhile"); }

}  // namespace

std::string ServerActs::closed_names() const { return ha::standby_names({config_.durability != "async", {}}); }

pgclient::ConnInfo ServerActs::own_server() const {
  const bool furnished = dir_.look() == DataStage::kReady;
  pgclient::ConnInfo info = superuser_at(config_.local_host(), config_.port);
  if (furnished) info.user = "pgbalancer_agent", info.password = config_.agent_password;
  return info;
}

pgclient::ConnInfo ServerActs::superuser_at(const std::string& host, uint16_t port) const {
  pgclient::ConnInfo info;
  info.host = host;
  info.port = port;
  info.user = config_.superuser;
  info.password = config_.superuser_password;
  info.database = "postgres";
  info.application_name = "pgbalancer_agent";
  return info;
}

Result<std::unique_ptr<Connection>> ServerActs::connect() const {
  return Connection::open(own_server(), Deadline::after(kQuery));
}

std::optional<ServerFacts> ServerActs::ask() const {
  auto connection = connect();
  if (!connection.ok()) return std::nullopt;
  auto facts = ask_server(**connection, Deadline::after(kQuery));
  return facts.ok() ? std::optional(std::move(*facts)) : std::nullopt;
}

Status ServerActs::end_leftovers() {
  const std::string data = real_path(dir_.path());
  const Deadline deadline = Deadline::after(seconds(10));
  for (;; poll(nullptr, 0, 20)) {
    bool left = false;
    for (pid_t pid : os::all_pids()) {
      if (os::process_name(pid) != "postgres" || os::process_cwd(pid) != data || os::process_state(pid) == 'Z')
        continue;
      if (!left) log::warn("ending a server that an earlier agent left behind");
      left = true;
      kill(pid, SIGKILL);
    }
    if (!left) return {};
    if (deadline.expired()) return Error(Code::kTimeout, "a server on " + data + " survives SIGKILL");
  }
}

Status ServerActs::start(const ServerRole& role, Deadline deadline) {
  PGB_TRY(write_server_files(config_, dir_, role));
  PGB_TRY(postmaster_.start());
  for (;;) {  // recovery may take long
    const pgclient::ConnInfo info = own_server();
    const Status up =
        postmaster_.wait_ready(info.user, info.password, info.database, Deadline::after(milliseconds(500)));
    if (up.ok()) return {};
    if (up.error().code == Code::kTool) return up;
    if (postmaster_.pid() == 0)
      return Error(Code::kTool, "postgres ended while starting");  // the loop has seen it first
    if (up.error().code != Code::kTimeout || deadline.expired()) return up;
  }
}

Status ServerActs::start_standby() {
  ServerRole role;
  role.standby = true;
  role.retry = kRetry;
  role.sync_names = closed_names();
  return start(role);
}

Status ServerActs::restart_in_place(const ha::ServerSync& sync) {
  ServerRole role;
  role.sync_names = ha::standby_names(sync);
  return start(role);
}

Status ServerActs::reload(const ServerRole& role) const {
  PGB_TRY(write_server_files(config_, dir_, role));
  postmaster_.signal(SIGHUP);
  return {};
}

Result<std::optional<ServerFacts>> ServerActs::detach(ha::Epoch epoch) {
  PGB_TRY(memory_.promise(epoch));
  if (postmaster_.pid() == 0) return std::optional<ServerFacts>();
  ServerRole role;
  role.standby = true;
  role.retry = kRetry;
  role.sync_names = closed_names();
  PGB_TRY(reload(role));
  const Deadline deadline = Deadline::after(kLetGo);
  auto connection = connect();
  while (connection.ok() && !deadline.expired()) {
    auto facts = ask_server(**connection, deadline);
    if (!facts.ok()) break;
    if (!facts->in_recovery) return Error(Code::kNotReady, "the server is no standby");
    if (!facts->receiver && facts->end_known) return std::optional(std::move(*facts));
    if (!facts->receiver && deadline.remaining() < kLetGo / 3) return std::optional(std::move(*facts));
    poll(nullptr, 0, 5);
  }
  log::warn("the server does not end its walreceiver: it is ended itself");
  if (!postmaster_.end_now(milliseconds(100), Deadline::after(seconds(2)))) {
    return Error(Code::kTimeout, "the server cannot be ended");
  }
  return std::optional<ServerFacts>();
}

Status ServerActs::follow(const Member& leader, ha::Epoch epoch) {
  const ServerRole role{true, leader.host, leader.port, config_.slot, closed_names(), kRetry};
  // Clients wait for this: what takes time at the other server goes on beside what takes time here.
  auto slot = std::async(std::launch::async, [&] { return make_slot(config_, role, Deadline::after(kQuery)); });
  Status written = memory_.promise_and_follow(epoch);
  if (written.ok()) written = write_server_files(config_, dir_, role);
  PGB_TRY(slot.get());
  PGB_TRY(std::move(written));
  postmaster_.signal(SIGHUP);
  drop_slots();
  return {};
}

Result<ServerFacts> ServerActs::promote(ha::Timeline timeline, ha::Epoch epoch, const ha::ServerSync& sync) {
  auto connection = connect();
  if (!connection.ok()) return std::move(connection).error();
  const std::string names = ha::standby_names(sync);
  auto facts = ask_server(**connection, Deadline::after(kQuery));
  if (!facts.ok()) return std::move(facts).error();
  if (facts->sync_names != names) {
    ServerRole role;
    role.standby = true;
    role.retry = kRetry;
    role.sync_names = names;
    PGB_TRY(reload(role));
    poll(nullptr, 0, 200);
    facts = ask_server(**connection, Deadline::after(kQuery));
    if (!facts.ok()) return std::move(facts).error();
    if (facts->sync_names != names) return Error(Code::kNotReady, "synchronous_standby_names is not " + names);
  }
  const ha::Timeline now = timeline_at(dir_.path(), facts->flushed, facts->segment_size);
  if (now == 0 || now >= timeline) return Error(Code::kNotReady, "its WAL is on timeline " + std::to_string(now));
  // One that broke off may have left the name behind: the server would take the next number.
  if (!read_history(dir_.path(), timeline).empty()) {
    return Error(Code::kNotReady, "a promotion to timeline " + std::to_string(timeline) + " broke off before");
  }
  PGB_TRY(lay_histories(dir_.path(), now, timeline));
  PGB_TRY(os::write_file_atomic(dir_.path() + "/promote", "", 0600));
  postmaster_.signal(SIGUSR1);
  for (const Deadline deadline = Deadline::after(kPromotion); !deadline.expired(); poll(nullptr, 0, 5)) {
    facts = ask_server(**connection, Deadline::after(kQuery));
    if (!facts.ok()) return std::move(facts).error();
    if (facts->in_recovery) continue;
    if (facts->timeline == timeline) {
      PGB_TRY(memory_.set_led(epoch));
      return std::move(*facts);  // its files are written when it opens, or is started again
    }
    return Error(Code::kInternal, "it was promoted to timeline " + std::to_string(facts->timeline) + " in place of " +
                                      std::to_string(timeline));
  }
  return Error(Code::kTimeout, "the promotion does not end");
}

// A process that has a SIGHUP waiting, or is stopped, goes by the old setting.
bool ServerActs::all_have_reloaded(const ServerFacts& facts) const {
  std::vector<pid_t> pids = os::children_of(postmaster_.pid());
  for (const auto& [name, sender] : facts.senders) pids.push_back(sender.pid);
  for (pid_t pid : pids) {
    const auto status = os::read_file("/proc/" + std::to_string(pid) + "/status", 1 << 16);
    if (!status.ok()) continue;
    const char state = os::process_state(pid);
    if (state == 'T' || state == 't') return false;
    for (const char* set : {"\nSigPnd:\t", "\nShdPnd:\t"}) {
      const size_t at = status->find(set);
      if (at == std::string::npos) continue;
      const uint64_t pending = std::strtoull(status->c_str() + at + 9, nullptr, 16);
      if ((pending & (uint64_t{1} << (SIGHUP - 1))) != 0) return false;
    }
  }
  return true;
}

// A walsender lets waiting commits go when its standby reports, and that one reports when it gets WAL: where all
// writers wait there is none. So some is made, by a commit that waits for nobody.
void ServerActs::nudge(Connection& connection) { (void)write_once(connection, Deadline::after(kQuery)); }

Result<ServerFacts> ServerActs::apply_sync(const ha::ServerSync& sync, Deadline deadline) {
  ServerRole role;
  role.sync_names = ha::standby_names(sync);
  auto connection = connect();
  if (!connection.ok()) return std::move(connection).error();
  PGB_TRY(reload(role));
  bool seen = false;
  while (postmaster_.pid() != 0) {
    auto facts = ask_server(**connection, Deadline::after(kQuery));
    if (!facts.ok()) return std::move(facts).error();
    if (deadline.expired()) return Error(Code::kTimeout, "not every process of the server has taken it yet");
    const bool taken = facts->sync_names == role.sync_names && all_have_reloaded(*facts);
    if (taken) nudge(**connection);
    // Twice, with a pause: a signal that was taken is acted on at the process' next turn.
    if (taken && seen) return std::move(*facts);
    seen = taken;
    poll(nullptr, 0, taken ? static_cast<int>(kSettle.count()) : 4);
  }
  return gone();
}

void ServerActs::stop_cleanly(Deadline deadline) { postmaster_.stop(deadline); }

Status ServerActs::checkpoint() {
  auto connection = Connection::open(superuser_at(config_.local_host(), config_.port), Deadline::after(kQuery));
  if (!connection.ok()) return std::move(connection).error();
  auto done = (*connection)->query("CHECKPOINT", Deadline::after(seconds(60)));
  return done.ok() ? Status() : Status(std::move(done).error());
}

// Until the first checkpoint after its promotion a server's control file names its old timeline, and pg_rewind would
// find nothing to do.
Status ServerActs::make_rewindable(const Member& leader) const {
  auto connection = Connection::open(superuser_at(leader.host, leader.port), Deadline::after(kQuery));
  if (!connection.ok()) return std::move(connection).error();
  auto facts = ask_server(**connection, Deadline::after(kQuery));
  if (!facts.ok()) return std::move(facts).error();
  auto control =
      (*connection)->query("SELECT timeline_id AS timeline FROM pg_control_checkpoint()", Deadline::after(kQuery));
  if (!control.ok()) return std::move(control).error();
  if (control->at(0).get(0, "timeline") == std::to_string(facts->timeline)) return {};
  auto done = (*connection)->query("CHECKPOINT", Deadline::after(seconds(60)));
  return done.ok() ? Status() : Status(std::move(done).error());
}

// A leader that has yet to make its roles refuses everybody for a moment. One whose superuser has another password by
// now, or may not log in, refuses for good.
Error ServerActs::not_rewindable(const Member& leader, const Error& why) {
  const ha::Time now = std::chrono::steady_clock::now();
  if (why.code != Code::kAuth) refused_since_ = {};
  if (why.code == Code::kAuth && refused_since_ == ha::Time{}) refused_since_ = now;
  const bool for_good = why.code == Code::kAuth && now - refused_since_ >= kRefusalPatience;
  if (!for_good) return Error(Code::kNotReady, why.message);
  return Error(Code::kAuth,
               "pg_rewind cannot be used: " + leader.name + " refuses " + config_.superuser + ": " + why.message)
      .with("try", "give it the password that the cluster was made with");
}

Status ServerActs::start_rewound(const Member& leader, ha::Epoch epoch) {
  if (memory_.facts().promised > epoch) return Error(Code::kTimeout, "a later leader was promised meanwhile");
  PGB_TRY(memory_.promise_and_follow(epoch));
  const ServerRole role{true, leader.host, leader.port, config_.slot, closed_names(), kRetry};
  PGB_TRY(make_slot(config_, role, Deadline::after(kQuery)));
  Status up = start(role, Deadline::after(kConsistent));
  if (!up.ok()) postmaster_.stop(Deadline::after(seconds(5)));
  return up;
}

Status ServerActs::rewind(const Member& leader, ha::Epoch epoch) {
  postmaster_.stop(Deadline::after(seconds(20)));
  // The server of that role may read files; pg_rewind needs to. It gets the password by a file.
  const std::string passfile = dir_.parent() + "/rewind.pgpass";
  const std::unique_ptr<const std::string, void (*)(const std::string*)> goes(
      &passfile, [](const std::string* path) { (void)os::remove_tree(*path); });
  AgentConfig as_superuser = config_;
  as_superuser.replication_user = config_.superuser;
  as_superuser.replication_password = config_.superuser_password;
  PGB_TRY(os::write_file_atomic(passfile, render_passfile(as_superuser), 0600));
  std::vector<std::string> argv = {bin_dir_ + "/pg_rewind", "-D", dir_.path(), "--source-server",
                                   "host=" + leader.host + " port=" + std::to_string(leader.port) +
                                       " user=" + config_.superuser + " dbname=postgres connect_timeout=5"};
  const std::vector<std::string> env = {"PGPASSFILE=" + passfile};
  // First without touching anything: what cannot be rewound stays as it is.
  std::vector<std::string> trial = argv;
  trial.emplace_back("--dry-run");
  progress_.set("copying", "pg_rewind to " + leader.name);
  if (Status asked = make_rewindable(leader); !asked.ok()) return not_rewindable(leader, asked.error());
  refused_since_ = {};
  PGB_TRY(run_tool(trial, env, Deadline::after(std::chrono::minutes(10))));
  PGB_TRY(memory_.promise_and_follow(epoch));  // as in full_copy()
  PGB_TRY(dir_.set_stage(DataStage::kMaking));
  PGB_TRY(run_tool(argv, env, Deadline::never()));
  if (const Status up = start_rewound(leader, epoch); !up.ok()) {
    return Error(Code::kTimeout, "it was rewound to " + leader.name + ", but does not follow: " + up.error().message);
  }
  drop_slots();
  return dir_.set_stage(DataStage::kReady);
}

Status ServerActs::give_data_up() {
  PGB_TRY(dir_.set_stage(DataStage::kMaking));
  postmaster_.stop(Deadline::after(seconds(20)));
  return {};
}

Status ServerActs::full_copy(const Member& leader, ha::Epoch epoch) {
  postmaster_.stop(Deadline::after(seconds(20)));
  // What is copied belongs to that epoch: nobody leads an earlier one with it, whatever the store says afterwards.
  PGB_TRY(memory_.promise_and_follow(epoch));
  const ServerRole role{true, leader.host, leader.port, config_.slot, closed_names(), kRetry};
  return make_replica_dir(config_, bin_dir_, dir_, role, progress_);
}

ha::Trouble ServerActs::trouble_with(const Member& leader, const ha::Position& mine) const {
  pgclient::ConnInfo info = own_server();
  info.host = leader.host;
  info.port = leader.port;
  auto connection = Connection::open(info, Deadline::after(kQuery));
  if (!connection.ok()) return ha::Trouble::kNone;
  auto facts = ask_server(**connection, Deadline::after(kQuery));
  if (!facts.ok() || facts->in_recovery) return ha::Trouble::kNone;
  if (facts->timeline == mine.timeline && facts->flushed < mine.lsn) return ha::Trouble::kDiverged;
  auto oldest = (*connection)
                    ->query("SELECT min(substr(name, 9)) AS name FROM pg_ls_waldir() WHERE name ~ '^[0-9A-F]{24}$'",
                            Deadline::after(kQuery));
  if (!oldest.ok() || oldest->at(0).rows.empty()) return ha::Trouble::kNone;
  const std::string name = oldest->at(0).get(0, "name");
  return !name.empty() && name > segment_of(mine.lsn, facts->segment_size) ? ha::Trouble::kWalRemoved
                                                                           : ha::Trouble::kNone;
}

void ServerActs::drop_slots() {
  auto connection = connect();
  if (!connection.ok()) return;
  (void)(*connection)
      ->query(
          "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_type = 'physical' AND NOT "
          "active AND pg_is_in_recovery()",
          Deadline::after(kQuery));
}

void ServerActs::make_slots() {
  auto connection = connect();
  if (!connection.ok()) return;
  for (const Member& member : config_.members) {
    if (member.name == config_.name) continue;
    const std::string slot = pgclient::quote_literal(member.slot);
    (void)(*connection)
        ->query("SELECT pg_create_physical_replication_slot(" + slot +
                    ", true) WHERE NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = " + slot + ")",
                Deadline::after(kQuery));
  }
}

std::optional<ServerActs::AtRest> ServerActs::look_at_rest() const {
  const DataStage stage = dir_.look();
  if (stage != DataStage::kReady && stage != DataStage::kInitialised) return std::nullopt;
  const auto data = read_control_data(bin_dir_, dir_.path());
  if (!data.ok()) return std::nullopt;
  AtRest rest{data->system_id, std::nullopt, data->redo};
  // The last record is the checkpoint: who has its first byte has every commit.
  if (data->state == "shut down") rest.flushed = ha::Position{data->timeline, data->checkpoint + 1};
  return rest;
}

}  // namespace pgb::agent
