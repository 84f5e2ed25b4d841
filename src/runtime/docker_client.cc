#include "runtime/docker_client.h"

#include "runtime/docker_error.h"
#include "runtime/docker_json.h"
#include "runtime/docker_text.h"

namespace pgb::runtime {
namespace {

constexpr char kOurApi[] = "1.44";
constexpr char kJsonType[] = "application/json";
constexpr char kTarType[] = "application/x-tar";

std::string label_filter(const std::vector<std::string>& labels) {
  return url_escape(print_json(Json{{"label", labels}}));
}

DockerContainer to_container(const Json& entry) {
  DockerContainer container;
  container.id = text_of(entry, "Id");
  container.state = text_of(entry, "State");
  container.labels = labels_of(entry);
  const Json& names = part_of(entry, "Names");
  if (names.is_array() && !names.empty() && names[0].is_string()) container.name = names[0].get<std::string>();
  if (!container.name.empty() && container.name.front() == '/') container.name.erase(0, 1);
  for (const Json& port : part_of(entry, "Ports")) {
    PublishedPort published;
    published.address = text_of(port, "IP");
    published.inside = static_cast<uint16_t>(number_of(port, "PrivatePort"));
    published.outside = static_cast<uint16_t>(number_of(port, "PublicPort"));
    if (published.outside != 0 && text_of(port, "Type") == "tcp") container.ports.push_back(published);
  }
  const Json& networks = part_of(part_of(entry, "NetworkSettings"), "Networks");
  if (networks.is_object()) {
    for (auto it = networks.begin(); it != networks.end(); ++it) container.networks.push_back(it.key());
  }
  return container;
}

DockerNetwork to_network(const Json& entry) {
  DockerNetwork network;
  network.id = text_of(entry, "Id");
  network.name = text_of(entry, "Name");
  network.labels = labels_of(entry);
  for (const Json& config : part_of(part_of(entry, "IPAM"), "Config")) {
    network.subnets.push_back(text_of(config, "Subnet"));
  }
  for (const Json& container : part_of(entry, "Containers")) network.containers.push_back(text_of(container, "Name"));
  return network;
}

// Nothing if the error says that it does not exist.
template <class T>
Result<std::optional<T>> absent_or(Error error) {
  if (error.code == Code::kNotFound || error.code == Code::kImage) return std::optional<T>();
  return error;
}

}  // namespace

Result<DockerClient> DockerClient::connect(http::Endpoint endpoint, Trace trace, Deadline deadline) {
  DockerClient client(std::move(endpoint), std::move(trace));
  auto ping = client.send({"GET", "/_ping", "", ""}, deadline);
  if (!ping.ok()) return std::move(ping).error();
  auto version = ping->headers.find("api-version");
  std::string api = version == ping->headers.end() ? "" : lesser_api(kOurApi, version->second);
  if (ping->status != 200 || api.empty()) {
    return Error(Code::kEngine, client.endpoint_.str() + ": what answers there is no container engine");
  }
  client.engine_.api = api;
  auto about = client.ask("ask the engine for its version", {"GET", "/version", "", ""}, deadline);
  if (!about.ok()) return std::move(about).error();
  Json json = parse_json(*about);
  client.engine_.version = text_of(json, "Version");
  for (const Json& component : part_of(json, "Components")) {
    if (text_of(component, "Name").find("Podman") != std::string::npos) client.engine_.is_podman = true;
  }
  return client;
}

Result<http::Response> DockerClient::send(const Call& call, Deadline deadline,
                                          const std::function<bool(std::string_view)>* on_data) const {
  http::Request request;
  request.method = call.method;
  request.target = (engine_.api.empty() ? "" : "/v" + engine_.api) + call.path;
  if (!call.content_type.empty()) request.headers["content-type"] = call.content_type;
  if (call.registry_auth) request.headers["x-registry-auth"] = call.registry_auth->reveal();
  request.body = call.body;
  auto begin = std::chrono::steady_clock::now();
  auto response = on_data != nullptr ? http::stream(endpoint_, request, deadline, *on_data)
                                     : http::call(endpoint_, request, deadline);
  if (trace_) {
    auto took = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - begin);
    std::string what = call.method + " " + request.target;
    trace_(what + " " + (response.ok() ? std::to_string(response->status) : response.error().message), took);
  }
  return response;
}

Result<std::string> DockerClient::ask(const std::string& doing, Call call, Deadline deadline) const {
  auto response = send(call, deadline);
  if (!response.ok()) {
    Error error = std::move(response).error();
    if (error.code == Code::kUnreachable) error.code = Code::kNoEngine;
    return std::move(error).in(doing);
  }
  if (response->status / 100 == 2 || response->status == 304) return std::move(response->body);
  std::string sentence = text_of(parse_json(response->body), "message");
  return engine_error(doing, response->status, sentence.empty() ? response->body : sentence);
}

Status DockerClient::tell(const std::string& doing, Call call, Deadline deadline, bool absent_is_fine) const {
  auto answer = ask(doing, std::move(call), deadline);
  if (answer.ok()) return {};
  Code code = answer.error().code;
  if (absent_is_fine && (code == Code::kNotFound || code == Code::kImage)) return {};
  return std::move(answer).error();
}

Result<std::string> DockerClient::root_dir(Deadline deadline) const {
  auto answer = ask("ask the engine about itself", {"GET", "/info", "", ""}, deadline);
  if (!answer.ok()) return std::move(answer).error();
  return text_of(parse_json(*answer), "DockerRootDir");
}

Result<std::string> DockerClient::create_container(const std::string& name, const std::string& spec,
                                                   Deadline deadline) const {
  auto answer = ask("create container " + name,
                    {"POST", "/containers/create?name=" + url_escape(name), spec, kJsonType}, deadline);
  if (!answer.ok()) return std::move(answer).error();
  std::string id = text_of(parse_json(*answer), "Id");
  if (id.empty()) return Error(Code::kEngine, "create container " + name + ": the engine told no id");
  return id;
}

Status DockerClient::start_container(const std::string& id, Deadline deadline) const {
  return tell("start container", {"POST", "/containers/" + url_escape(id) + "/start", "", ""}, deadline);
}

Status DockerClient::stop_container(const std::string& id, int seconds, Deadline deadline) const {
  std::string path = "/containers/" + url_escape(id) + "/stop?t=" + std::to_string(seconds);
  return tell("stop container", {"POST", path, "", ""}, deadline);
}

Status DockerClient::kill_container(const std::string& id, const std::string& signal, Deadline deadline) const {
  std::string path = "/containers/" + url_escape(id) + "/kill?signal=" + url_escape(signal);
  return tell("signal container", {"POST", path, "", ""}, deadline);
}

Status DockerClient::remove_container(const std::string& id, Deadline deadline) const {
  return tell("remove container", {"DELETE", "/containers/" + url_escape(id) + "?v=1&force=1", "", ""}, deadline, true);
}

Result<std::optional<DockerContainer>> DockerClient::inspect_container(const std::string& name,
                                                                       Deadline deadline) const {
  auto answer =
      ask("inspect container " + name, {"GET", "/containers/" + url_escape(name) + "/json", "", ""}, deadline);
  if (!answer.ok()) return absent_or<DockerContainer>(std::move(answer).error());
  Json json = parse_json(*answer);
  DockerContainer container;
  container.id = text_of(json, "Id");
  container.name = text_of(json, "Name");
  if (!container.name.empty() && container.name.front() == '/') container.name.erase(0, 1);
  container.state = text_of(part_of(json, "State"), "Status");
  container.labels = labels_of(part_of(json, "Config"));
  return std::optional(container);
}

Result<std::vector<DockerContainer>> DockerClient::list_containers(const std::vector<std::string>& labels,
                                                                   Deadline deadline) const {
  auto answer =
      ask("list containers", {"GET", "/containers/json?all=1&filters=" + label_filter(labels), "", ""}, deadline);
  if (!answer.ok()) return std::move(answer).error();
  std::vector<DockerContainer> containers;
  for (const Json& entry : parse_json(*answer)) containers.push_back(to_container(entry));
  return containers;
}

Status DockerClient::put_archive(const std::string& id, const std::string& path, std::string tar,
                                 Deadline deadline) const {
  std::string target = "/containers/" + url_escape(id) + "/archive?path=" + url_escape(path);
  return tell("put files into container", {"PUT", target, std::move(tar), kTarType}, deadline);
}

Result<LogText> DockerClient::logs(const std::string& id, const LogQuery& query, Deadline deadline) const {
  std::string path = "/containers/" + url_escape(id) + "/logs?stdout=1&stderr=1&timestamps=1";
  path += query.after.empty() ? "&tail=" + std::to_string(query.lines) : "&since=" + unix_time(query.after);
  auto answer = ask("read the log of container", {"GET", path, "", ""}, deadline);
  if (!answer.ok()) return std::move(answer).error();
  LogText log{"", query.after};
  log.text = without_stamps(*answer, log.cursor);
  return log;
}

Status DockerClient::create_network(const std::string& name, const std::string& subnet, const Labels& labels,
                                    Deadline deadline) const {
  Json spec = {{"Name", name}, {"Driver", "bridge"}, {"CheckDuplicate", true}, {"Labels", labels}};
  spec["IPAM"] = {{"Driver", "default"}, {"Config", Json::array({Json{{"Subnet", subnet}}})}};
  return tell("create network " + name + " (" + subnet + ")", {"POST", "/networks/create", print_json(spec), kJsonType},
              deadline);
}

Result<std::optional<DockerNetwork>> DockerClient::inspect_network(const std::string& name, Deadline deadline) const {
  auto answer = ask("inspect network " + name, {"GET", "/networks/" + url_escape(name), "", ""}, deadline);
  if (!answer.ok()) return absent_or<DockerNetwork>(std::move(answer).error());
  return std::optional(to_network(parse_json(*answer)));
}

Result<std::vector<DockerNetwork>> DockerClient::list_networks(const std::vector<std::string>& labels,
                                                               Deadline deadline) const {
  auto answer = ask("list networks", {"GET", "/networks?filters=" + label_filter(labels), "", ""}, deadline);
  if (!answer.ok()) return std::move(answer).error();
  std::vector<DockerNetwork> networks;
  for (const Json& entry : parse_json(*answer)) networks.push_back(to_network(entry));
  return networks;
}

Status DockerClient::remove_network(const std::string& id, Deadline deadline) const {
  return tell("remove network", {"DELETE", "/networks/" + url_escape(id), "", ""}, deadline, true);
}

Status DockerClient::leave_network(const std::string& network, const std::string& container, Deadline deadline) const {
  const Json body = {{"Container", container}, {"Force", false}};
  return tell("take container off network " + network,
              {"POST", "/networks/" + url_escape(network) + "/disconnect", print_json(body), kJsonType}, deadline);
}

Status DockerClient::join_network(const std::string& network, const std::string& container, const std::string& endpoint,
                                  Deadline deadline) const {
  const Json body = {{"Container", container}, {"EndpointConfig", parse_json(endpoint)}};
  return tell("connect container with network " + network,
              {"POST", "/networks/" + url_escape(network) + "/connect", print_json(body), kJsonType}, deadline);
}

Status DockerClient::create_volume(const std::string& name, const Labels& labels, Deadline deadline) const {
  Json spec = {{"Name", name}, {"Driver", "local"}, {"Labels", labels}};
  return tell("create volume " + name, {"POST", "/volumes/create", print_json(spec), kJsonType}, deadline);
}

Result<std::vector<DockerVolume>> DockerClient::list_volumes(const std::vector<std::string>& labels,
                                                             Deadline deadline) const {
  auto answer = ask("list volumes", {"GET", "/volumes?filters=" + label_filter(labels), "", ""}, deadline);
  if (!answer.ok()) return std::move(answer).error();
  std::vector<DockerVolume> volumes;
  Json json = parse_json(*answer);
  for (const Json& entry : part_of(json, "Volumes")) volumes.push_back({text_of(entry, "Name"), labels_of(entry)});
  return volumes;
}

Status DockerClient::remove_volume(const std::string& name, Deadline deadline) const {
  return tell("remove volume " + name, {"DELETE", "/volumes/" + url_escape(name), "", ""}, deadline, true);
}

}  // namespace pgb::runtime
