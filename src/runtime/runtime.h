// Where servers and balancers live: Docker containers or local processes. The manager knows only
// this interface; the contract test holds every implementation against it.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/deadline.h"
#include "base/result.h"
#include "model/topology.h"

namespace pgb::runtime {

// A file put into the unit before it starts; 0600, owned by the user the program runs as. In a container an agent's
// are root's, out of its reach once it has given root up, unless there is nothing secret in them (0644).
struct FileSpec {
  std::string name;  // "agent.json", "init/0001-init.sql": relative to the unit's config directory
  std::string content;
  bool secret = true;
};

// One thing to run: an agent with its server, or a balancer.
struct UnitSpec {
  enum class Kind { kNode, kBalancer } kind = Kind::kNode;
  std::string cluster;
  std::string group;           // the balancer's name
  std::string name;            // node or balancer name, unique in the cluster
  std::string container_name;  // docker
  std::string ip_address;      // docker
  std::string image;           // docker, nodes only
  std::string volume_at;       // docker, balancers only: where a volume of its own is mounted; empty: it has none
  std::string spec_hash;       // changes whenever the unit must be made anew
  std::vector<FileSpec> files;
  // Ports published on bind_address: {inside, outside}; outside 0 lets the runtime choose.
  std::vector<std::pair<uint16_t, uint16_t>> ports;
  std::string bind_address;
};

enum class UnitState { kAbsent, kCreated, kRunning, kStopped };

struct UnitInfo {
  std::string name;
  std::string group;
  UnitSpec::Kind kind = UnitSpec::Kind::kNode;
  UnitState state = UnitState::kAbsent;
  bool restarting = false;  // kRunning, but its program has ended by itself and is about to be started again
  bool cut_off = false;     // kRunning, but not on the network that the others are on: connect() or ensure() mends it
  std::string spec_hash;
  std::string id;                      // container id, or pid
  std::map<uint16_t, uint16_t> ports;  // inside -> outside, as the runtime tells
};

// One thing that stands in the way of making units. A taken port also says whose it was to be.
struct Obstacle : Error {
  std::string unit;
  uint16_t port = 0;    // kPortInUse: the published one; else 0
  std::string held_by;  // kPortInUse: "postgres, pid 1423, user alice"

  Obstacle(Error error) : Error(std::move(error)) {}  // NOLINT(google-explicit-constructor): each error is one
  // From what check_port_free() says of a unit's port.
  static Obstacle taken_port(const std::string& unit, uint16_t port, Error error);
};

struct LogQuery {
  int lines = 200;    // at most so many, the last ones
  std::string after;  // the cursor of an earlier answer: what came since, all of it
};

struct LogText {
  std::string text;
  std::string cursor;  // where it ends; the runtime's own notation
};

// Told about each Engine call or process command (-v prints them). Secrets never stand in `what`.
using Trace = std::function<void(const std::string& what, std::chrono::milliseconds took)>;

// A new server takes about as much: its first data, WAL and log.
inline constexpr uint64_t kBytesPerNode = 200u << 20;

class Runtime {
 public:
  virtual ~Runtime() = default;
  virtual model::RuntimeKind kind() const = 0;
  virtual std::string describe() const = 0;  // "docker 28.2 (unix:///var/run/docker.sock)"

  // Everything that could stand in the way of making these units: image, ports, names, subnet,
  // disk. Touches nothing. One Obstacle each, empty if there is none. Units that exist
  // already and are ours are no obstacle.
  virtual std::vector<Obstacle> preflight(const model::Cluster& cluster, const std::vector<UnitSpec>& units,
                                          Deadline deadline) = 0;

  // Network, images, directories: whatever all units share. Idempotent.
  virtual Status prepare(const model::Cluster& cluster, const std::vector<UnitSpec>& units,
                         const std::function<void(const std::string&)>& progress, Deadline deadline) = 0;

  // What prepare() would fetch or make, a line each ("pull image postgres:17"); empty if all is there. Touches nothing.
  virtual Result<std::vector<std::string>> missing_shared(const model::Cluster& cluster,
                                                          const std::vector<UnitSpec>& units, Deadline deadline) = 0;

  // Makes the unit unless it exists, puts its files in place (again, if it exists) and starts it.
  // Idempotent: a running unit only gets its new files. kNameInUse if one of that name is not ours. Any thread may
  // call; units may be made in parallel.
  virtual Status ensure(const UnitSpec& unit, Deadline deadline) = 0;

  // SIGTERM, then waits until it is gone; kills it at the deadline. Absent or stopped: success.
  virtual Status stop(const std::string& cluster, const std::string& name, Deadline deadline) = 0;
  virtual Status start(const std::string& cluster, const std::string& name, Deadline deadline) = 0;
  // SIGKILL to all of it at once, as a power cut would. It stays down until it is started. Absent or stopped: success.
  virtual Status kill(const std::string& cluster, const std::string& name, Deadline deadline) = 0;

  // Takes a running unit off the network that the others are on, without a word to anybody; it runs on. connect() and
  // ensure() undo it, with the address it had. kNotReady, and why, where units have no network of their own.
  virtual Status cut_off(const std::string& cluster, const std::string& name, Deadline deadline) {
    (void)cluster, (void)deadline;
    return Error(Code::kNotReady, name + " shares this machine's network with the others: it cannot be taken off it");
  }
  virtual Status connect(const UnitSpec& unit, Deadline deadline) {
    (void)unit, (void)deadline;
    return {};
  }

  // Stops and removes it with its data, or keeps the data. Absent: success.
  virtual Status remove(const std::string& cluster, const std::string& name, bool keep_data, Deadline deadline) = 0;

  // All units of the cluster that exist, asked now.
  virtual Result<std::vector<UnitInfo>> list(const std::string& cluster, Deadline deadline) = 0;

  // Names of all clusters of which anything exists.
  virtual Result<std::vector<std::string>> clusters(Deadline deadline) = 0;

  // Removes what the units shared (network, directories); volumes too unless keep_data. Then looks
  // again and returns what is left, as one line each: empty means gone.
  virtual Result<std::vector<std::string>> remove_shared(const std::string& cluster, bool keep_data,
                                                         Deadline deadline) = 0;

  // The last lines of the unit's output, or what came since an earlier answer. kNotFound if there is no such unit.
  virtual Result<LogText> logs(const std::string& cluster, const std::string& name, const LogQuery& query,
                               Deadline deadline) = 0;
};

}  // namespace pgb::runtime
