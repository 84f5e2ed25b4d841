#include "cluster/rest_calls.h"

#include <unistd.h>

#include <nlohmann/json.hpp>

#include "cluster/units.h"
#include "http/client.h"
#include "os/file.h"

namespace pgb::cluster {
namespace {

constexpr char kBegin[] = "-----BEGIN CERTIFICATE-----", kEnd[] = "-----END CERTIFICATE-----";

std::string dir_of(const Session& session) { return session.cluster_dir() + "/certificates"; }
std::string file_of(const Session& session, const std::string& balancer) {
  return dir_of(session) + "/" + balancer + ".pem";
}

// The certificate itself, which comes first (RFC 8446, 4.4.2), without those between it and its authority. Empty if
// there is none.
std::string leaf_of(const std::string& pem, size_t from) {
  const size_t begin = pem.find(kBegin, from);
  const size_t end = begin == std::string::npos ? begin : pem.find(kEnd, begin);
  return end == std::string::npos ? "" : pem.substr(begin, end + sizeof kEnd - 1 - begin) + "\n";
}

std::string last_of(const std::string& pem) {
  const size_t begin = pem.rfind(kBegin);
  return begin == std::string::npos ? "" : leaf_of(pem, begin);
}

http::Endpoint plain(const model::Cluster& cluster, const model::Balancer& balancer) {
  http::Endpoint endpoint;
  endpoint.host = reachable_host(cluster);
  endpoint.port = balancer.rest_api_port;
  return endpoint;
}

http::Endpoint by_tls(const model::Cluster& cluster, const model::Balancer& balancer, std::string pinned) {
  http::Endpoint endpoint = plain(cluster, balancer);
  endpoint.kind = http::Endpoint::Kind::kTls;
  endpoint.pinned = std::move(pinned);
  return endpoint;
}

Result<http::Response> call_with_token(const http::Endpoint& endpoint, const Secrets& secrets, http::Request request,
                                       Deadline deadline) {
  request.headers["authorization"] = "Bearer " + secrets.balancer_token.reveal();
  return http::call(endpoint, request, deadline);
}

// The certificate that the unit is given to show at its REST port; empty if there is none.
std::string rest_certificate(const runtime::UnitSpec& unit) {
  bool wanted = false;
  std::string leaf;
  for (const runtime::FileSpec& file : unit.files) {
    if (file.name == kBalancerCertificate) leaf = leaf_of(file.content, 0);
    if (file.name == kBalancerFile) wanted = nlohmann::json::parse(file.content).value("rest_tls", false);
  }
  return wanted ? leaf : "";
}

Error unknown_certificate(const Session& session, const model::Balancer& balancer) {
  return Error(Code::kNotReady, "the certificate that " + balancer.name + " shows is not known here: there is no " +
                                    file_of(session, balancer.name))
      .with("try", "pgbalancer_cluster restart " + balancer.name);
}

bool is_loopback(const std::string& host) { return host.rfind("127.", 0) == 0 || host == "::1" || host == "localhost"; }

}  // namespace

Result<http::Response> call_balancer(const Session& session, const model::Cluster& cluster, const Secrets& secrets,
                                     const model::Balancer& balancer, http::Request request, Deadline deadline) {
  if (!balancer.config.rest_tls) {
    return call_with_token(plain(cluster, balancer), secrets, std::move(request), deadline);
  }
  auto known = os::read_file(file_of(session, balancer.name));
  if (!known.ok()) return unknown_certificate(session, balancer);
  return call_with_token(by_tls(cluster, balancer, std::move(*known)), secrets, std::move(request), deadline);
}

Result<http::Response> call_changing_balancer(const Session& session, const model::Cluster& cluster,
                                              const Secrets& secrets, const model::Balancer& balancer, bool spoke_tls,
                                              http::Request request, Deadline deadline) {
  const bool may_be_plain = !balancer.config.rest_tls || !spoke_tls || is_loopback(reachable_host(cluster));
  auto known = os::read_file(file_of(session, balancer.name));
  if (known.ok()) {
    // First, because who speaks no TLS gets nothing of the request so.
    auto answer = call_with_token(by_tls(cluster, balancer, std::move(*known)), secrets, request, deadline);
    if (answer.ok() || answer.error().code != Code::kUnreachable || !may_be_plain) return answer;
    auto without = call_with_token(plain(cluster, balancer), secrets, std::move(request), deadline);
    return without.ok() || !balancer.config.rest_tls ? std::move(without) : std::move(answer);
  }
  if (!may_be_plain) return unknown_certificate(session, balancer);
  return call_with_token(plain(cluster, balancer), secrets, std::move(request), deadline);
}

Status ensure_unit(const Session& session, const runtime::UnitSpec& unit, Deadline deadline) {
  const std::string leaf = unit.kind == runtime::UnitSpec::Kind::kBalancer ? rest_certificate(unit) : "";
  if (!leaf.empty()) {
    PGB_TRY(os::make_dirs(dir_of(session), 0755));
    const std::string file = file_of(session, unit.name);
    const auto known = os::read_file(file);
    const std::string before = known.ok() ? *known : "";
    if (last_of(before) != leaf) PGB_TRY(os::write_file_atomic(file, before + leaf, 0644));
  }
  return session.runtime->ensure(unit, deadline);
}

Status note_certificate_shown(const Session& session, const model::Balancer& balancer) {
  const std::string file = file_of(session, balancer.name);
  const auto known = os::read_file(file);
  if (!known.ok()) return {};
  if (!balancer.config.rest_tls) {
    ::unlink(file.c_str());
    return {};
  }
  const std::string last = last_of(*known);
  return last == *known ? Status() : os::write_file_atomic(file, last, 0644);
}

}  // namespace pgb::cluster
