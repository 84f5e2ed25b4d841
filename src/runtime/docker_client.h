// The calls of the Docker Engine API that we use, one method each. No call has state but the negotiated
// version: any thread may call. Errors carry the Engine's own sentence (see docker_error.h).
// Source: https://docs.docker.com/reference/api/engine/ (versions 1.24 to 1.44).
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/deadline.h"
#include "base/result.h"
#include "base/secret.h"
#include "http/client.h"
#include "runtime/runtime.h"

namespace pgb::runtime {

using Labels = std::map<std::string, std::string>;

struct PublishedPort {
  std::string address;
  uint16_t inside = 0;
  uint16_t outside = 0;
};

struct DockerContainer {
  std::string id;
  std::string name;   // without the slash
  std::string state;  // "created", "running", "paused", "restarting", "removing", "exited", "dead"
  Labels labels;
  std::vector<PublishedPort> ports;   // while it runs
  std::vector<std::string> networks;  // names of those it is on; list_containers only
};

struct DockerNetwork {
  std::string id;
  std::string name;
  Labels labels;
  std::vector<std::string> subnets;
  std::vector<std::string> containers;  // names; inspect_network only
};

struct DockerVolume {
  std::string name;
  Labels labels;
};

struct DockerImage {
  std::string id;
  std::vector<std::string> tags;     // list_images only
  std::vector<std::string> volumes;  // declared paths; inspect_image only
};

struct EngineInfo {
  std::string version;   // "20.10.24"
  std::string api;       // "1.41", what we speak
  std::string root_dir;  // "/var/lib/docker"; engine_info() only
  bool is_podman = false;
};

class DockerClient {
 public:
  // Asks for the versions. kUnreachable, kEngineDenied, kTimeout, or kEngine if what answers is no engine.
  static Result<DockerClient> connect(http::Endpoint endpoint, Trace trace, Deadline deadline);

  const http::Endpoint& endpoint() const { return endpoint_; }
  const EngineInfo& engine() const { return engine_; }
  Result<std::string> root_dir(Deadline deadline) const;  // where the engine keeps everything, on its machine

  // `spec` is the JSON of POST /containers/create; returns the id.
  Result<std::string> create_container(const std::string& name, const std::string& spec, Deadline deadline) const;
  Status start_container(const std::string& id, Deadline deadline) const;              // runs already: success
  Status stop_container(const std::string& id, int seconds, Deadline deadline) const;  // stopped: success
  Status kill_container(const std::string& id, const std::string& signal, Deadline deadline) const;
  Status remove_container(const std::string& id, Deadline deadline) const;  // kills it; anonymous volumes too
  Result<std::optional<DockerContainer>> inspect_container(const std::string& name, Deadline deadline) const;
  // With all of these labels ("key" or "key=value"), running or not; empty: all containers.
  Result<std::vector<DockerContainer>> list_containers(const std::vector<std::string>& labels, Deadline) const;
  Status put_archive(const std::string& id, const std::string& path, std::string tar, Deadline deadline) const;
  Result<LogText> logs(const std::string& id, const LogQuery& query, Deadline deadline) const;

  Status create_network(const std::string& name, const std::string& subnet, const Labels&, Deadline) const;
  Result<std::optional<DockerNetwork>> inspect_network(const std::string& name, Deadline deadline) const;
  Result<std::vector<DockerNetwork>> list_networks(const std::vector<std::string>& labels, Deadline deadline) const;
  Status remove_network(const std::string& id, Deadline deadline) const;  // absent: success
  Status leave_network(const std::string& network, const std::string& container, Deadline deadline) const;
  // `endpoint`: the JSON of an EndpointsConfig's entry.
  Status join_network(const std::string& network, const std::string& container, const std::string& endpoint,
                      Deadline deadline) const;

  Status create_volume(const std::string& name, const Labels& labels, Deadline deadline) const;
  Result<std::vector<DockerVolume>> list_volumes(const std::vector<std::string>& labels, Deadline deadline) const;
  Status remove_volume(const std::string& name, Deadline deadline) const;  // absent: success

  Result<std::optional<DockerImage>> inspect_image(const std::string& reference, Deadline deadline) const;
  Result<std::vector<DockerImage>> list_images(const std::vector<std::string>& labels, Deadline deadline) const;
  // Makes an image from the tar of a root directory; `changes` are lines like "LABEL a=b".
  Status import_image(const std::string& repository, const std::string& tag, std::string tar,
                      const std::vector<std::string>& changes, Deadline deadline) const;
  // Told as bytes come: "43 / 154 MB", at most twice a second. `auth`: see docker_auth.h.
  Status pull_image(const std::string& reference, const std::optional<Secret>& auth,
                    const std::function<void(const std::string&)>& progress, Deadline deadline) const;
  Status remove_image(const std::string& reference, Deadline deadline) const;  // absent: success

 private:
  DockerClient(http::Endpoint endpoint, Trace trace) : endpoint_(std::move(endpoint)), trace_(std::move(trace)) {}

  struct Call {
    std::string method, path, body, content_type;
    std::optional<Secret> registry_auth = std::nullopt;
  };
  Result<http::Response> send(const Call& call, Deadline deadline,
                              const std::function<bool(std::string_view)>* on_data = nullptr) const;
  // The body of a 2xx (or 304) answer; any other is an Error that begins with `doing`.
  Result<std::string> ask(const std::string& doing, Call call, Deadline deadline) const;
  Status tell(const std::string& doing, Call call, Deadline deadline, bool absent_is_fine = false) const;

  http::Endpoint endpoint_;
  Trace trace_;
  EngineInfo engine_;
};

}  // namespace pgb::runtime
