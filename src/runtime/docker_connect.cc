#include "runtime/docker_connect.h"

#include <optional>

namespace pgb::runtime {
namespace {

// A place where nobody listens says so at once; this is for one that listens but does not answer.
constexpr auto kPatience = std::chrono::seconds(5);

bool begins_with(const std::string& text, const std::string& start) {
  return text.compare(0, start.size(), start) == 0;
}

std::string reason(const Error& error, const http::Endpoint& endpoint) {
  std::string prefix = endpoint.str() + ": ";
  std::string text = error.message;
  if (begins_with(text, prefix)) text.erase(0, prefix.size());
  for (const char* strerror : {"No such file or directory", "Connection refused", "Permission denied"}) {
    if (begins_with(text, strerror)) text[0] = static_cast<char>(text[0] | 0x20);
  }
  return text;
}

Error denied(const http::Endpoint& endpoint, const std::vector<std::string>& tried) {
  Error error(Code::kEngineDenied, "this user may not use the container engine at " + endpoint.str());
  for (const std::string& line : tried) error.with("tried", line);
  return std::move(error)
      .with("try", "join the group docker: sudo usermod -aG docker $USER, then log in again")
      .with("try", "or without containers: pgbalancer_cluster init --runtime process");
}

Error nobody(const std::vector<std::string>& tried) {
  Error error(Code::kNoEngine, "no container engine answers");
  for (const std::string& line : tried) error.with("tried", line);
  return std::move(error)
      .with("try", "start it: sudo systemctl start docker")
      .with("try", "or without containers: pgbalancer_cluster init --runtime process");
}

}  // namespace

Result<DockerClient> connect_to_engine(const DockerEnvironment& environment, const Trace& trace) {
  DockerSearch search = find_docker_endpoints(environment);
  std::vector<std::string> tried = search.unusable;
  std::optional<http::Endpoint> refused;
  for (const DockerCandidate& candidate : search.candidates) {
    auto client = DockerClient::connect(candidate.endpoint, trace, Deadline::after(kPatience));
    if (client.ok()) return client;
    tried.push_back(candidate.endpoint.str() + " (" + candidate.source +
                    "): " + reason(client.error(), candidate.endpoint));
    if (client.error().code == Code::kEngineDenied && !refused) refused = candidate.endpoint;
  }
  return refused ? denied(*refused, tried) : nobody(tried);
}

}  // namespace pgb::runtime
