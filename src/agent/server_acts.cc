#include "agent/server_acts.h"

#include <poll.h>
#include <signal.h>

#include <cstdlib>
#include <future>
#include <utility>

#include "agent/bootstrap.h"
#include "agent/silent_senders.h"
#include "agent/tool.h"
#include "agent/turns.h"
#include "agent/wal_room.h"
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
constexpr milliseconds kLetGo{1500};       // for a walreceiver to end
constexpr milliseconds kPromotion{10000};  // in which no more WAL is replayed
constexpr milliseconds kSilence{1500};     // longer than a slow disk keeps a standby from answering
constexpr milliseconds kSettle{60};        // from a reload that is seen to each process' own
constexpr const char* kRetry = "200ms";    // a reload or a promotion ends the pause

std::string real_path(const std::string& path) {
  std::unique_ptr<char, void (*)(void*)> real(::realpath(path.c_str(), nullptr), ::free);
  return real ? std::string(real.get()) : path;
}

Error gone() { return Error(Code::kNotReady, "the server ended meanwhile"); }

}  // namespace

std::string ServerActs::closed_names() const { return ha::standby_names({config_.durability != "async", {}}); }

ServerRole ServerActs::follower_of(const Member& leader) const {
  return {true, leader.host, leader.port, config_.slot, closed_names(), kRetry};
}

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

// Clients wait while a role changes: each step goes on with the connection of the one before.
Result<Connection*> ServerActs::line() {
  if (line_ && line_to_ == postmaster_.pid() && line_->query("SELECT 1", Deadline::after(kQuery / 4)).ok()) {
    return line_.get();
  }
  line_.reset();
  line_to_ = postmaster_.pid();
  auto fresh = connect();
  if (!fresh.ok()) return std::move(fresh).error();
  line_ = std::move(*fresh);
  return line_.get();
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

// The limit that stands as long as the room does not ask for another one.
uint64_t ServerActs::slot_wal_now() const {
  const auto now = slot_wal_limit_of(dir_.path());
  return now && is_other_limit(slot_wal_, *now) ? *now : slot_wal_;
}

Status ServerActs::write_files(ServerRole role) {
  role.slot_wal = slot_wal_now();
  PGB_TRY(write_server_files(config_, dir_, role));
  slot_wal_ = role.slot_wal;
  return {};
}

Status ServerActs::start(const ServerRole& role, Deadline deadline) {
  if (role.standby) PGB_TRY(drop_laid_histories(dir_.path()));
  PGB_TRY(write_files(role));
  sync_effect_.started_with(role.sync_names);
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

Status ServerActs::reload(const ServerRole& role) {
  sync_effect_.names_are(role.sync_names);
  PGB_TRY(write_files(role));
  postmaster_.signal(SIGHUP);
  return {};
}

// Clients wait for this: the promise gets to the disk beside what the server does. Whoever lets go without it has only
// to follow anew.
Result<std::optional<ServerFacts>> ServerActs::detach(ha::Epoch epoch) {
  auto promise = std::async(std::launch::async, [&] { return memory_.promise(epoch); });
  auto final_facts = let_go();
  PGB_TRY(promise.get());
  return final_facts;
}

Result<std::optional<ServerFacts>> ServerActs::let_go() {
  if (postmaster_.pid() == 0) return std::optional<ServerFacts>();
  ServerRole role;
  role.standby = true;
  role.retry = kRetry;
  role.sync_names = closed_names();
  PGB_TRY(reload(role));
  const Deadline deadline = Deadline::after(kLetGo);
  auto connection = line();
  LettingGo letting_go;
  bool in_effect = false;  // and no walreceiver ran then: what was read after that is final
  while (connection.ok() && !deadline.expired()) {
    auto facts = ask_server(**connection, deadline);
    if (!facts.ok()) break;
    if (!facts->in_recovery) return Error(Code::kNotReady, "the server is no standby");
    const bool known = facts->end_known || deadline.remaining() < kLetGo / 3;
    if (in_effect && !facts->receiver && known) return std::optional(std::move(*facts));
    const bool was_in_effect = in_effect;
    in_effect = !facts->receiver && (in_effect || letting_go.is_in_effect(**connection, postmaster_.pid(), *facts));
    if (in_effect == was_in_effect) poll(nullptr, 0, 5);
  }
  log::warn("the server does not let go of its leader in time: it is ended itself");
  if (!postmaster_.end_now(milliseconds(100), Deadline::after(seconds(2)))) {
    return Error(Code::kTimeout, "the server cannot be ended");
  }
  return std::optional<ServerFacts>();
}

Status ServerActs::follow(const Member& leader, ha::Epoch epoch) {
  const ServerRole role = follower_of(leader);
  // Clients wait for this: what takes time at the other server goes on beside what takes time here.
  auto slot = std::async(std::launch::async, [&] { return make_slot(config_, role, Deadline::after(kQuery)); });
  Status written = memory_.promise_and_follow(epoch);
  if (written.ok()) written = write_files(role);
  PGB_TRY(slot.get());
  PGB_TRY(std::move(written));
  postmaster_.signal(SIGHUP);
  drop_slots();
  return {};
}

// Who followed early may say that it has a part of a record that the new timeline does not have, and be frozen before
// it has gone back: no commit may count on that word.
Status ServerActs::end_senders(Connection& connection, const ServerFacts& facts) {
  for (const auto& [name, sender] : facts.senders) {
    if (sender.pid > 0) kill(sender.pid, SIGTERM);
  }
  for (const Deadline deadline = Deadline::after(kQuery); !deadline.expired(); poll(nullptr, 0, 5)) {
    auto now = ask_server(connection, deadline);
    if (!now.ok()) return std::move(now).error();
    const auto is_there = [&](const auto& one) {
      const auto still = now->senders.find(one.first);
      return still != now->senders.end() && still->second.pid == one.second.pid;
    };
    if (std::none_of(facts.senders.begin(), facts.senders.end(), is_there)) return {};
  }
  return Error(Code::kTimeout, "walsenders of the former timeline do not end");
}

Result<ServerFacts> ServerActs::promote(ha::Timeline timeline, ha::Epoch epoch, const ha::ServerSync& sync) {
  auto connection = line();
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
  const ha::Lsn had = facts->flushed;
  PGB_TRY(lay_histories(dir_.path(), now, timeline));
  PGB_TRY(os::write_file_atomic(dir_.path() + "/promote", "", 0600));
  postmaster_.signal(SIGUSR1);
  ha::Lsn replayed = facts->replayed;
  for (Deadline deadline = Deadline::after(kPromotion); !deadline.expired(); poll(nullptr, 0, 5)) {
    facts = ask_server(**connection, Deadline::after(kQuery));
    if (!facts.ok()) return std::move(facts).error();
    if (facts->in_recovery) {  // it first replays all it has, which may be much
      if (std::exchange(replayed, facts->replayed) != facts->replayed) deadline = Deadline::after(kPromotion);
      continue;
    }
    if (facts->timeline == timeline) {
      const std::vector<ha::Fork> history = read_history(dir_.path(), timeline);
      if (history.empty() || history.back().begin < had) PGB_TRY(end_senders(**connection, *facts));
      PGB_TRY(memory_.set_led(epoch));
      return std::move(*facts);  // its files are written when it opens, or is started again
    }
    return Error(Code::kInternal, "it was promoted to timeline " + std::to_string(facts->timeline) + " in place of " +
                                      std::to_string(timeline));
  }
  return Error(Code::kTimeout, "the promotion does not end");
}

// A walsender lets waiting commits go when its standby reports, and that one reports when it gets WAL: where all
// writers wait there is none. So some is made, by a commit that waits for nobody.
void ServerActs::nudge(Connection& connection) { (void)write_once(connection, Deadline::after(kQuery)); }

Result<ServerFacts> ServerActs::apply_sync(const ha::ServerSync& sync, Deadline deadline) {
  ServerRole role;
  role.sync_names = ha::standby_names(sync);
  auto connection = line();
  if (!connection.ok()) return std::move(connection).error();
  auto before = ask_server(**connection, Deadline::after(kQuery));
  if (!before.ok()) return std::move(before).error();
  sync_effect_.names_are(before->sync_names);
  PGB_TRY(reload(role));
  bool seen = false, nudged = false;
  while (postmaster_.pid() != 0) {
    auto facts = ask_server(**connection, Deadline::after(kQuery));
    if (!facts.ok()) return std::move(facts).error();
    if (deadline.expired()) return Error(Code::kTimeout, "not every process of the server has taken it yet");
    const bool set = facts->sync_names == role.sync_names;
    const bool taken = set && all_have_reloaded(postmaster_.pid(), *facts) &&
                       (role.sync_names.empty() || sync_effect_.commits_wait(**connection, postmaster_.pid()));
    // Those that wait are let go by each walsender at its turn; when all have had it, nobody is left behind.
    if (set && (!nudged || taken)) nudge(**connection);
    nudged = nudged || set;
    // Twice, with a pause: a signal that was taken is acted on at the process' next turn.
    if (taken && seen) return std::move(*facts);
    seen = taken;
    poll(nullptr, 0, taken ? static_cast<int>(kSettle.count()) : 4);
  }
  return gone();
}

void ServerActs::stop_cleanly(Deadline deadline) { postmaster_.stop(deadline); }

Status ServerActs::checkpoint(const std::string& target) {
  auto connection = Connection::open(superuser_at(config_.local_host(), config_.port), Deadline::after(kQuery));
  if (!connection.ok()) return std::move(connection).error();
  auto done = (*connection)->query("CHECKPOINT", Deadline::after(seconds(60)));
  if (!done.ok()) return std::move(done).error();
  std::vector<std::string> others;
  for (const Member& member : config_.members) {
    if (member.name != config_.name && member.name != target) others.push_back(member.name);
  }
  return end_silent_senders(**connection, others, kSilence);
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
  if (!name.empty() && name > segment_of(mine.lsn, facts->segment_size)) return ha::Trouble::kWalRemoved;
  // The WAL is there: what it may want is the slot.
  (void)(*connection)->query(slot_sql(config_.slot), Deadline::after(kQuery));
  return ha::Trouble::kNone;
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
    (void)(*connection)->query(slot_sql(member.slot), Deadline::after(kQuery));
  }
}

Status ServerActs::follow_room(const ha::ServerSync& sync) {
  const uint64_t now = slot_wal_now();
  if (config_.parameters.contains(kSlotWalParameter) || now == slot_wal_) return {};
  log::info("slots keep up to " + std::to_string(now >> 20) +
            " MB of WAL for members that are away: half of what its disk has room for");
  ServerRole role;
  role.sync_names = ha::standby_names(sync);
  return reload(role);
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
