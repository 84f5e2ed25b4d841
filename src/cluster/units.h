// From a cluster (a value) to the units that a runtime makes: their files, ports and addresses.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "api/agent_api.h"
#include "cluster/session.h"
#include "pgclient/connection.h"

namespace pgb::cluster {

// Ports inside a container; a process listens on the outside ones directly.
inline constexpr uint16_t kPostgresPort = 5432, kAgentPort = 8008, kBalancerPort = 9999, kRestPort = 8080,
                          kPcpPort = 9898, kStorePort = 2379;

using UnitMap = std::map<std::string, runtime::UnitInfo>;  // by unit name

// Files of a balancer's unit: its configuration, and the certificate that it shows.
inline constexpr char kBalancerFile[] = "balancer.json", kBalancerCertificate[] = "tls.crt";

// What the runtime says exists, by name.
Result<UnitMap> existing_units(const Session& session, Deadline deadline);

bool runs(const UnitMap& units, const std::string& name);

// One unit for each server and balancer. `existing` keeps the agents' ports of running ones.
Result<std::vector<runtime::UnitSpec>> make_units(const Session& session, const model::Cluster& cluster,
                                                  const Secrets& secrets, const UnitMap& existing);

// The replication slot of a node: its name in the letters PostgreSQL allows (chapter 27.2.6).
std::string slot_name(const std::string& node);

// How this machine reaches a server, an agent, a balancer.
std::string reachable_host(const model::Cluster& cluster);
pgclient::ConnInfo server_conninfo(const model::Cluster& cluster, const Secrets& secrets, uint16_t port);
pgclient::ConnInfo balancer_conninfo(const model::Cluster& cluster, const Secrets& secrets,
                                     const model::Balancer& balancer);  // by TLS where it takes nothing else
api::AgentAddress agent_address(const model::Cluster& cluster, const Secrets& secrets, const runtime::UnitInfo& unit);

}  // namespace pgb::cluster
