#include "runtime/docker_endpoint.h"

#include <cstdlib>

#include "os/file.h"
#include "runtime/docker_json.h"
#include "runtime/docker_sha256.h"

namespace pgb::runtime {
namespace {

// An engine over TCP speaks TLS if there are certificates for it.
void use_certificates(http::Endpoint& endpoint, const std::string& dir) {
  if (endpoint.kind == http::Endpoint::Kind::kUnix) return;
  endpoint.kind = http::Endpoint::Kind::kTls;
  auto file = [&](const char* name) { return os::exists(dir + "/" + name) ? dir + "/" + name : std::string(); };
  endpoint.ca_file = file("ca.pem");
  endpoint.cert_file = file("cert.pem");
  endpoint.key_file = file("key.pem");
}

class Search {
 public:
  explicit Search(const DockerEnvironment& environment) : environment_(environment) {}

  DockerSearch run() {
    if (auto host = variable("DOCKER_HOST"); !host.empty()) {
      take(host, "DOCKER_HOST", variable("DOCKER_TLS_VERIFY").empty() ? "" : certificate_dir());
      return std::move(result_);
    }
    look_at_context();
    take("unix://" + environment_.default_socket, "default", "");
    return std::move(result_);
  }

 private:
  std::string variable(const char* name) const { return environment_.variable(name).value_or(""); }

  std::string config_dir() const { return docker_config_dir(environment_); }

  std::string certificate_dir() const {
    std::string dir = variable("DOCKER_CERT_PATH");
    return dir.empty() ? config_dir() : dir;
  }

  void take(const std::string& url, const std::string& source, const std::string& certificates) {
    auto endpoint = http::Endpoint::parse(url);
    if (!endpoint.ok()) {
      result_.unusable.push_back(source + ": " + endpoint.error().message);
      return;
    }
    if (!certificates.empty()) use_certificates(*endpoint, certificates);
    result_.candidates.push_back({std::move(*endpoint), source});
  }

  void look_at_context() {
    std::string dir = config_dir();
    std::string name = variable("DOCKER_CONTEXT");
    std::string from = "DOCKER_CONTEXT";
    if (name.empty() && !dir.empty()) {
      auto text = os::read_file(dir + "/config.json", 1u << 20);
      if (!text.ok()) return;
      from = dir + "/config.json";
      name = text_of(parse_json(*text), "currentContext");
    }
    if (name.empty() || name == "default") return;
    // The directory of a context is named by the digest of its name.
    std::string id = sha256_hex(name);
    std::string source = "context \"" + name + "\" from " + from;
    std::string meta_path = dir + "/contexts/meta/" + id + "/meta.json";
    auto meta = os::read_file(meta_path, 1u << 20);
    if (!meta.ok()) {
      result_.unusable.push_back(source + ": " + meta.error().message);
      return;
    }
    std::string host = text_of(part_of(part_of(parse_json(*meta), "Endpoints"), "docker"), "Host");
    if (host.empty()) {
      result_.unusable.push_back(source + ": " + meta_path + " names no docker host");
      return;
    }
    std::string certificates = dir + "/contexts/tls/" + id + "/docker";
    take(host, source, os::exists(certificates) ? certificates : "");
  }

  const DockerEnvironment& environment_;
  DockerSearch result_;
};

}  // namespace

std::string docker_config_dir(const DockerEnvironment& environment) {
  const std::string dir = environment.variable("DOCKER_CONFIG").value_or("");
  if (!dir.empty()) return dir;
  const std::string home = environment.variable("HOME").value_or("");
  return home.empty() ? "" : home + "/.docker";
}

DockerEnvironment DockerEnvironment::of_process() {
  DockerEnvironment environment;
  environment.variable = [](const std::string& name) -> std::optional<std::string> {
    const char* value = std::getenv(name.c_str());
    if (value == nullptr) return std::nullopt;
    return std::string(value);
  };
  return environment;
}

DockerSearch find_docker_endpoints(const DockerEnvironment& environment) { return Search(environment).run(); }

}  // namespace pgb::runtime
