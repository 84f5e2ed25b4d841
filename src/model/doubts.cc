#include "model/doubts.h"

#include <algorithm>

#include "base/strings.h"
#include "model/json_document.h"

namespace pgb::model {
namespace {

class Doubter {
 public:
  Doubter(const Cluster& cluster, std::string_view text, const Surroundings& around)
      : cluster_(cluster), text_(text), around_(around) {}

  std::vector<Mistake> run() {
    passwords();
    image();
    parameters();
    for (size_t i = 0; i < cluster_.postgres.init_sql.size(); ++i) {
      file("postgres.init_sql[" + std::to_string(i) + "]", cluster_.postgres.init_sql[i]);
    }
    promises();
    etcd();
    for (size_t i = 0; i < cluster_.balancers.size(); ++i) {
      group(cluster_.balancers[i], "balancers[" + std::to_string(i) + "].");
    }
    return std::move(found_);
  }

 private:
  bool given(const std::string& path) const { return place_of(text_, path).has_value(); }

  void doubt(const std::string& path, const std::string& text) {
    const Place place = place_of(text_, path).value_or(Place{});
    found_.push_back({place.line, place.column, path, text});
  }

  void file(const std::string& path, const std::string& name) {
    if (!name.empty() && !around_.has_file(name)) doubt(path, "there is no file " + name);
  }

  void password(const std::string& path, const PasswordSource& source) {
    using From = PasswordSource::Kind;
    if (source.kind == From::kLiteral) {
      doubt(path, R"(the password stands in the file for all to read; better {"env": NAME} or {"file": PATH})");
    } else if (source.kind == From::kFile) {
      file(path, source.name);
    } else if (source.kind == From::kEnv && !around_.has_variable(source.name)) {
      doubt(path, "the environment has no variable " + source.name);
    }
  }

  void passwords() {
    password("postgres.password", cluster_.postgres.password);
    password("postgres.replication_password", cluster_.postgres.replication_password);
  }

  void image() {
    const std::string& image = cluster_.postgres.image;
    if (image.find('@') != std::string::npos) return;
    const size_t colon = image.rfind(':');
    const size_t slash = image.rfind('/');
    const bool tagged = colon != std::string::npos && (slash == std::string::npos || colon > slash);
    if (tagged && image.substr(colon + 1) != "latest") return;
    doubt("postgres.image",
          image + " names no version: servers made later may get another major one; write postgres:17");
  }

  std::string parameter(const std::string& name) const {
    const auto found = cluster_.postgres.parameters.find(name);
    return found == cluster_.postgres.parameters.end() ? "" : found->second;
  }

  void parameter_is_off(const std::string& name, const std::string& so) {
    const std::string value = parameter(name);
    for (const char* off : {"off", "false", "no", "0"}) {
      if (value == off) doubt("postgres.parameters." + name, so);
    }
  }

  void parameters() {
    parameter_is_off("fsync", "a crash of the machine may destroy all data");
    parameter_is_off("full_page_writes", "a crash of the machine may destroy data");
    parameter_is_off("synchronous_commit", "a crash may lose commits that clients were told of");
    parameter_is_off("wal_log_hints", "a former primary can only come back by a full copy, unless it has checksums");
    size_t most = 0;
    for (const Balancer& balancer : cluster_.balancers) most = std::max(most, balancer.replicas.size());
    for (const char* name : {"max_wal_senders", "max_replication_slots"}) {
      const auto value = parse_u64(parameter(name));
      if (!value || *value >= most + 1) continue;  // one more: for the copy that makes another replica
      doubt(std::string("postgres.parameters.") + name,
            std::to_string(*value) + " is too few for " + std::to_string(most) + " replicas and the copy of one more");
    }
  }

  // What the file asks for and does not get: nobody is to rely on it.
  void promises() {
    if (given("ha.loop")) {
      doubt("ha.loop",
            "has no effect: how often agents look at the group follows from \"ha\": {\"lease\"}; take it out");
    }
    const bool asked = given("durability") && cluster_.durability != Durability::kAsync;
    if (!cluster_.ha.failover) {
      constexpr char kOff[] = "is not in effect with \"ha\": {\"failover\": false}: ";
      if (asked) doubt("durability", std::string(kOff) + "replication is asynchronous, and there is no failover");
      if (!cluster_.dcs_etcd.empty()) doubt("dcs", std::string(kOff) + "there is no failover");
      return;
    }
    const auto loses = [this](const Balancer& balancer) {
      return cluster_.durability_of(balancer) == Durability::kAsync;
    };
    if (given("ha.lag_limit") && std::none_of(cluster_.balancers.begin(), cluster_.balancers.end(), loses)) {
      doubt("ha.lag_limit", "has no effect: with durability " + std::string(to_string(cluster_.durability)) +
                                " a failover loses no acknowledged commit");
    }
    for (const Balancer& balancer : cluster_.balancers) {
      if (!asked || balancer.replicas.empty() || cluster_.durability_of(balancer) != Durability::kAsync) continue;
      doubt("durability", "quorum needs two replicas: the commits of " + balancer.name +
                              ", which has one, wait for nobody; strict would wait for that one, and stop without it");
    }
  }

  void etcd() {
    const EtcdAccess& access = cluster_.dcs_access;
    file("dcs.ca_file", access.ca_file);
    file("dcs.cert_file", access.cert_file);
    file("dcs.key_file", access.key_file);
    if (access.user.empty()) return;
    if (access.password.kind == PasswordSource::Kind::kGenerated) doubt("dcs.user", "it has no \"dcs.password\"");
    password("dcs.password", access.password);
    const auto clear = [](const std::string& url) { return url.rfind("http://", 0) == 0; };
    if (std::any_of(cluster_.dcs_etcd.begin(), cluster_.dcs_etcd.end(), clear)) {
      doubt("dcs.user", "its password goes over the network in clear: better https:// addresses");
    }
  }

  void pool_size(unsigned size, const std::string& path) {
    const auto connections = parse_u64(parameter("max_connections"));
    if (!connections || *connections > size) return;
    doubt(path, "one pool may take " + std::to_string(size) + " connections of the " + std::to_string(*connections) +
                    " that postgres.parameters.max_connections allows");
  }

  void group(const Balancer& balancer, const std::string& path) {
    if (balancer.replicas.empty()) {
      doubt(path + "replicas",
            balancer.name + " has no replica: nothing is left when " + balancer.primary.name + " is lost");
    }
    const auto idle = [](const Node& node) { return node.weight == 0; };
    const auto nodes = balancer.nodes();
    if (std::all_of(nodes.begin(), nodes.end(), idle)) {
      doubt(path + "primary.weight",
            "all servers of " + balancer.name + " have the weight 0: none is chosen for reads");
    }
    pool_size(balancer.config.pool.pool_size, path + "config.pool_size");
    const auto& pools = balancer.config.pools;
    for (size_t i = 0; i < pools.size(); ++i) {
      if (pools[i].pool_size)
        pool_size(*pools[i].pool_size, path + "config.pools[" + std::to_string(i) + "].pool_size");
    }
    file(path + "config.tls_cert_file", balancer.config.tls_cert_file);
    file(path + "config.tls_key_file", balancer.config.tls_key_file);
    file(path + "config.tls_ca_file", balancer.config.tls_ca_file);
    file(path + "config.hba_file", balancer.config.hba_file);
    if (cluster_.bind_address.rfind("127.", 0) != 0 && balancer.config.tls_cert_file.empty()) {
      doubt("bind_address", balancer.name + " can be reached from other machines, without TLS: give tls_cert_file");
    }
  }

  const Cluster& cluster_;
  std::string_view text_;
  const Surroundings& around_;
  std::vector<Mistake> found_;
};

}  // namespace

std::vector<Mistake> doubts(const Cluster& cluster, std::string_view text, const Surroundings& around) {
  return Doubter(cluster, text, around).run();
}

}  // namespace pgb::model
