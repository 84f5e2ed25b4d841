// What is done to the agent's own server and data, one act at a time, on the worker's thread. Each may be done again
// after it failed or was cut off, and fails soon once the server is gone.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "agent/agent_config.h"
#include "agent/data_dir.h"
#include "agent/memory.h"
#include "agent/pg_conf.h"
#include "agent/postmaster.h"
#include "agent/progress.h"
#include "agent/server_watch.h"
#include "agent/sync_effect.h"
#include "agent/wal_files.h"

namespace pgb::agent {

class ServerActs {
 public:
  ServerActs(const AgentConfig& config, std::string bin_dir, const DataDir& dir, Postmaster& postmaster, Memory& memory,
             Progress& progress)
      : config_(config),
        bin_dir_(std::move(bin_dir)),
        dir_(dir),
        postmaster_(postmaster),
        memory_(memory),
        progress_(progress) {}

  // Ends what an agent before us left running on this data directory.
  Status end_leftovers();

  // Starts it as a standby that follows nobody; returns when it answers.
  Status start_standby();
  // Starts it as the primary it was, with the synchronous_standby_names that it had.
  Status restart_in_place(const ha::ServerSync& sync);
  // Writes down the promise, ends the walreceiver, then reads the position. A server that will not let go is ended,
  // which is a success without a position. After a failure it may have let go, or not.
  Result<std::optional<ServerFacts>> detach(ha::Epoch epoch);
  // Writes down the promise, makes the slot, turns to `leader`.
  Status follow(const Member& leader, ha::Epoch epoch);
  // From a standby that follows nobody. `led` is written when it is done. Once it is asked for it may happen at any
  // time: whoever gets an error has to end the server.
  Result<ServerFacts> promote(ha::Timeline timeline, ha::Epoch epoch, const ha::ServerSync& sync);
  // In effect when it returns success: each walsender and each new commit goes by it. After an error it may come to be
  // in effect at any time, until it is applied again or another one is.
  Result<ServerFacts> apply_sync(const ha::ServerSync& sync, Deadline deadline);
  static constexpr std::chrono::seconds kRefusalPatience{10};
  // Afterwards the data is whole and the server follows `leader`: what is rewound is not consistent before it has
  // read its WAL. kNotReady: the leader could not be asked, pg_rewind has not run; kAuth: so it is for kRefusalPatience
  // because it refuses the superuser. Whether an error of pg_rewind's has left the data as it was, its stage tells: if
  // not, it has to be copied.
  Status rewind(const Member& leader, ha::Epoch epoch);
  Status full_copy(const Member& leader, ha::Epoch epoch);
  // From now on the data is good for nothing but to be copied anew, also if we are cut off, and its server has ended:
  // it confirms no commit any more.
  Status give_data_up();
  // What a clean stop would wait for, while writes go on: a checkpoint, and standbys that say nothing any more.
  // `target` is not one of them: a switchover to it waits for its answer.
  Status checkpoint(const std::string& target);
  void stop_cleanly(Deadline deadline);
  // Why a standby whose WAL ends at `mine` gets no stream from `leader`; kNone also if that does not say. Where only
  // the slot is gone or good for nothing it is made anew.
  ha::Trouble trouble_with(const Member& leader, const ha::Position& mine) const;
  // Slots that this server kept for others when it led: they would hold its WAL for ever.
  void drop_slots();
  // For each other member, so that it finds the WAL it needs when it comes back.
  void make_slots();
  // A primary with the sync setting `sync` keeps as much WAL for them as its disk now has room for (wal_room.h).
  Status follow_room(const ha::ServerSync& sync);

  // Of a server that is not running. Unclean ones have no position.
  struct AtRest {
    std::string system_id;
    std::optional<ha::Position> flushed;
    ha::Lsn redo = 0;
  };
  std::optional<AtRest> look_at_rest() const;

  // What the server says just now; nothing if it does not answer.
  std::optional<ServerFacts> ask() const;

  pgclient::ConnInfo own_server() const;  // as whom the agent asks its own server

 private:
  Status start(const ServerRole& role, Deadline deadline = Deadline::never());
  static void nudge(pgclient::Connection& connection);
  Status make_rewindable(const Member& leader) const;
  Error not_rewindable(const Member& leader, const Error& why);
  Status start_rewound(const Member& leader, ha::Epoch epoch);
  Status write_files(ServerRole role);
  uint64_t slot_wal_now() const;
  Status end_senders(pgclient::Connection& connection, const ServerFacts& facts);
  Status reload(const ServerRole& role);
  Result<std::optional<ServerFacts>> let_go();
  Result<std::unique_ptr<pgclient::Connection>> connect() const;
  Result<pgclient::Connection*> line();
  pgclient::ConnInfo superuser_at(const std::string& host, uint16_t port) const;
  std::string closed_names() const;
  ServerRole follower_of(const Member& leader) const;

  const AgentConfig& config_;
  std::string bin_dir_;
  const DataDir& dir_;
  Postmaster& postmaster_;
  Memory& memory_;
  Progress& progress_;
  SyncEffect sync_effect_;
  uint64_t slot_wal_ = kSlotWal;                // that was written last
  std::unique_ptr<pgclient::Connection> line_;  // kept from step to step; the worker's alone
  pid_t line_to_ = 0;
  ha::Time refused_since_{};  // by the leader that pg_rewind needs; the worker's alone
};

}  // namespace pgb::agent
