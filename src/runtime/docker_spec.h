// What a unit looks like as a container: names, labels, the JSON to create it, the files put into it.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "runtime/docker_client.h"
#include "runtime/runtime.h"

namespace pgb::runtime {

// On everything we make; nothing without kLabelCluster is ever changed or removed.
inline constexpr char kLabelCluster[] = "io.pgbalancer.cluster";
inline constexpr char kLabelGroup[] = "io.pgbalancer.group";
inline constexpr char kLabelUnit[] = "io.pgbalancer.unit";
inline constexpr char kLabelKind[] = "io.pgbalancer.kind";  // "node", "balancer"; on images "balancer-image"
inline constexpr char kLabelSpec[] = "io.pgbalancer.spec";
inline constexpr char kKindBalancerImage[] = "balancer-image";

// The directory in the container that holds the program and its configuration.
inline constexpr char kUnitDir[] = "pgbalancer";

// The user that a balancer becomes in its container ("nobody"); its files are this user's.
inline constexpr unsigned kBalancerUser = 65534;

std::string container_name_of(const UnitSpec& unit);  // as given, else <cluster>_<name>
std::string volume_name_of(const std::string& cluster, const std::string& unit);
std::string bind_address_of(const UnitSpec& unit);  // as given, else 127.0.0.1
Labels unit_labels(const UnitSpec& unit);
std::string label_is(const char* key, const std::string& value);  // "key=value", for filters
bool is_ours(const Labels& labels, const std::string& cluster);
bool is_unit(const Labels& labels, const std::string& cluster, const std::string& unit);
UnitInfo to_unit_info(const DockerContainer& container);

// Where the data volume is mounted, given the paths that the image declares as volumes: at the one that holds
// /var/lib/postgresql/data/pgdata, so that the engine makes no nameless volume in its place.
std::string data_mount(const std::vector<std::string>& declared);

// The JSON for POST /containers/create. No secret stands in it: those are in the files. `mount`: where its volume is;
// empty: it has none.
std::string container_spec(const UnitSpec& unit, const std::string& image, const std::string& network,
                           const std::string& mount);

// The JSON with which it joins the cluster's network: its address and names there.
std::string endpoint_spec(const UnitSpec& unit);

// A tar to unpack at "/": the unit's directory, its files (of root or kBalancerUser) and, if it is not empty, the
// agent.
Result<std::string> unit_archive(const UnitSpec& unit, const std::string& agent_program);

}  // namespace pgb::runtime
