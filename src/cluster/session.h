// What every verb works with: the cluster file, the recorded state and the runtime.
//
// <state_dir>/<cluster>/cluster.json   the cluster as it was last made real, extra replicas included
// <state_dir>/<cluster>/secrets.json   generated passwords and tokens, 0600
// <state_dir>/<cluster>/events.jsonl   what was done when
// <state_dir>/<cluster>/certificates   those that balancers show at their REST ports, see rest_calls.h
// <state_dir>/<cluster>/lock           held while a verb changes something
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "base/deadline.h"
#include "base/result.h"
#include "base/secret.h"
#include "model/topology.h"
#include "runtime/docker_runtime.h"
#include "runtime/runtime.h"

namespace pgb::cluster {

// One line of progress: the same id again replaces the line.
struct Event {
  enum class State { kRunning, kWaiting, kOk, kFailed };
  std::string id;  // "check", "network", "replica1"
  State state = State::kRunning;
  std::string text;    // "base backup", "waits for primary1"
  double seconds = 0;  // since this id began
};

struct Secrets {
  Secret superuser_password, replication_password;  // as the file says, else generated
  Secret agent_password, balancer_password;         // roles pgbalancer_agent and pgbalancer
  Secret agent_token, balancer_token;
  Secret store_password;  // of the lease store: the balancer's, or of "dcs.user"
  // PEM: who an etcd cluster has to be, and who we are there. Empty: not given.
  std::string store_ca, store_cert;
  Secret store_key;
  Secret stats_token;  // of those who may only look at the balancers
};

struct OpenOptions {
  std::string file = "pgbalancer_cluster.json";
  std::string runtime;                            // "docker", "process"; empty: as the file says
  runtime::Pull pull = runtime::Pull::kMissing;   // init --pull
  runtime::Trace trace;                           // -v
  std::function<void(const Event&)> on_event;     // called from several threads, one at a time
  const std::atomic<int>* interrupted = nullptr;  // a signal's number once it came
  Deadline deadline = Deadline::never();
};

class Session {
 public:
  // Reads the file, then looks for the runtime. kConfig…, kNoEngine, kNoPostgres. Changes nothing.
  static Result<std::unique_ptr<Session>> open(OpenOptions options);

  OpenOptions options;
  model::Cluster wanted;  // the file
  std::unique_ptr<runtime::Runtime> runtime;
  std::string runtime_note;  // "no container engine answers (…): using local processes"
  std::string state_dir;     // of all clusters

  std::string cluster_dir() const { return state_dir + "/" + wanted.cluster_name; }

  // The recorded cluster, if it was ever made; kNoCluster otherwise.
  Result<model::Cluster> recorded() const;
  // Whether anything of ours is in the cluster's directory: it may have been somebody else's before.
  bool has_record() const;
  // Removes what we write there, and the directory if nothing else is in it.
  void forget_record() const;
  Status record(const model::Cluster& cluster) const;

  // Loads the secrets; makes the missing ones if `create`. kNoCluster without `create`.
  Result<Secrets> secrets(bool create) const;

  // Appends to events.jsonl; failures are ignored (history is not worth a failed init).
  void log_event(const std::string& text) const;
  // The newest one; nothing if there is none yet.
  struct Past {
    std::string time;  // RFC 3339 UTC
    std::string text;
  };
  std::optional<Past> last_event() const;
  std::string events_file() const { return cluster_dir() + "/events.jsonl"; }

  void tell(const std::string& id, Event::State state, const std::string& text) const;

  // kInterrupted or kTerminated once a signal came, kTimeout after the deadline.
  Status check_interrupted() const;

 private:
  mutable std::map<std::string, Deadline::Clock::time_point> began_;
  mutable std::unique_ptr<std::mutex> mutex_ = std::make_unique<std::mutex>();
};

// $PGBALANCER_STATE_DIR, else /var/lib/pgbalancer for root, else $XDG_STATE_HOME/pgbalancer.
std::string default_state_dir();

}  // namespace pgb::cluster
