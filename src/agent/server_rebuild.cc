// A server whose data are not a part of its leader's: rewound, or copied anew.
#include <memory>

#include "agent/bootstrap.h"
#include "agent/server_acts.h"
#include "agent/tool.h"
#include "os/file.h"

namespace pgb::agent {

using pgclient::Connection;
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

constexpr milliseconds kQuery{2000};
constexpr milliseconds kConsistent{30000};  // for a rewound server

}  // namespace

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
  const ServerRole role = follower_of(leader);
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
                                       " user=" + config_.superuser + " dbname=postgres connect_timeout=5 " +
                                       std::string(kNoticesSilence)};
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
  const ServerRole role = follower_of(leader);
  return make_replica_dir(config_, bin_dir_, dir_, role, progress_);
}

}  // namespace pgb::agent
