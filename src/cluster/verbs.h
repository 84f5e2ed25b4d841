// What the manager can do with a cluster. Every verb that changes something takes the cluster's lock
// (kBusy), tells its steps through Session::tell, stops between steps when interrupted, and can be
// run again.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cluster/session.h"

namespace pgb::cluster {

struct InitResult {
  int made = 0;  // units made or started; 0: there was nothing to do
  double seconds = 0;
  model::Cluster cluster;            // as it stands now, extra replicas included
  std::vector<std::string> changed;  // what was brought to the file's state while it ran
  std::vector<std::string> pending;  // what was not, each with what to do
  std::vector<std::string> notes;
};
struct InitOptions {
  bool prune = false;           // remove replicas that were added later and do not stand in the file
  bool set_free_ports = false;  // where somebody else holds a port, write a free one into the file
};
// Makes what is missing, starts what is stopped, waits until all replicas stream and the balancers
// answer queries. Errors: kPortInUse and the like before anything was touched (detail "changed:
// nothing"); afterwards with details "standing" and "try".
Result<InitResult> init(Session& session, const InitOptions& options);

// What init would do, one line a step; empty if nothing.
Result<std::vector<std::string>> plan(Session& session, const InitOptions& options);

struct DestroyPreview {
  std::vector<std::string> units;
  std::vector<std::pair<std::string, std::string>> what;  // {"volumes", "3, with all data"}
  bool exists = false;
};
Result<DestroyPreview> look_before_destroy(Session& session);

struct DestroyResult {
  bool existed = false;
  double seconds = 0;
  std::vector<std::string> left;  // what could not be removed; empty: looked again, nothing is left
};
Result<DestroyResult> destroy(Session& session, bool keep_data);

// One unit, or all if `name` is empty. kNoNode, kNoCluster.
Status stop(Session& session, const std::string& name);
Status start(Session& session, const std::string& name);
Status restart(Session& session, const std::string& name);

// What they would do: the units that run (or do not, with `stopped`), of `name` or all. Touches nothing. kNoNode,
// kNoCluster.
Result<std::vector<std::string>> units_to_change(Session& session, const std::string& name, bool stopped);

struct Added {
  model::Node node;
  double seconds = 0;  // until it streamed
};
// kNoBalancer, kNoCluster. `save` writes the cluster file anew.
Result<std::vector<Added>> add_replica(Session& session, const std::string& balancer, int count, bool save);

// What it would add, with free ids, names, addresses and ports. Touches nothing.
Result<std::vector<Added>> plan_add_replica(Session& session, const std::string& balancer, int count);

struct Removed {
  std::string name;
  std::string first;  // who has the place of the file's primary now; empty: it was not that one
};
// By node id or name. kNoNode, kIsPrimary: it is so just now. Where that is the cluster file's primary, the primary of
// just now takes its place in what is recorded; the file stays as it is, and `init` refuses it until it says so, too.
Result<Removed> remove_replica(Session& session, const std::string& balancer, const std::string& node);
// The name of the one it would remove. Touches nothing.
Result<std::string> plan_remove_replica(Session& session, const std::string& balancer, const std::string& node);

// What a server or balancer said last, or since an earlier answer. kNoNode.
Result<runtime::LogText> logs(Session& session, const std::string& name, const runtime::LogQuery& query);

struct UrlOptions {
  std::optional<std::string> direct;  // past the balancer: a server's name, or "" for all of the group in turn
  std::string balancer;               // empty: the first
  // rw: to a server that takes writes; ro: transactions are read only, on a replica where there is one; any: as it
  // comes. Empty: rw for all servers in turn, else any.
  std::string role;
  bool show_password = false;
  std::string format = "uri";  // uri, dsn, jdbc, npgsql, env, service, pgpass
  std::string service;         // the section's name; url() sets it to the cluster's
  bool check = true;           // connect once before it is given out
};
Result<std::string> url(Session& session, const UrlOptions& options);
// Where a balancer's web page and REST API are, as this machine reaches them. kNoCluster, kNoBalancer.
Result<std::string> web_url(Session& session, const std::string& balancer);
std::string web_url(const model::Cluster& cluster, const model::Balancer& balancer);

struct Listed {
  std::string name;
  std::string runtime;
  size_t units = 0, running = 0;
};
// All clusters of this machine, from both runtimes; needs no cluster file.
Result<std::vector<Listed>> list(const OpenOptions& options);

struct Check {
  enum class Result { kOk, kWarning, kFailed } result;
  std::string what, text;
};
// Can this machine run a cluster? Engine, PostgreSQL programs, ports, disk, leftovers.
std::vector<Check> doctor(const OpenOptions& options);

}  // namespace pgb::cluster
