#include "runtime/docker_auth.h"

#include <algorithm>

#include "base/strings.h"
#include "os/file.h"
#include "os/subprocess.h"
#include "pgwire/digest.h"
#include "runtime/docker_json.h"

namespace pgb::runtime {
namespace {

constexpr const char* kDockerHub = "https://index.docker.io/v1/";

Secret header(const Json& auth) {
  std::string text = pgwire::base64(print_json(auth));
  std::replace(text.begin(), text.end(), '+', '-');  // base64url, RFC 4648 chapter 5; the padding stays
  std::replace(text.begin(), text.end(), '/', '_');
  return Secret(text);
}

// Logins are kept under the registry's name, some with a scheme or a path.
const Json& entry_of(const Json& entries, const std::string& registry) {
  for (const std::string& name :
       {registry, "https://" + registry, "https://" + registry + "/v2/", "http://" + registry}) {
    const Json& entry = part_of(entries, name.c_str());
    if (!entry.is_null()) return entry;
  }
  return part_of(entries, registry.c_str());
}

std::optional<Secret> kept_in_file(const Json& config, const std::string& registry) {
  const Json& entry = entry_of(part_of(config, "auths"), registry);
  const std::string token = text_of(entry, "identitytoken");
  if (!token.empty()) return header(Json{{"identitytoken", token}, {"serveraddress", registry}});
  const auto pair = pgwire::from_base64(text_of(entry, "auth"));
  const size_t colon = pair ? pair->find(':') : std::string::npos;
  if (colon == std::string::npos) return std::nullopt;
  return header(
      Json{{"username", pair->substr(0, colon)}, {"password", pair->substr(colon + 1)}, {"serveraddress", registry}});
}

Result<std::optional<Secret>> kept_by_helper(const std::string& helper, const std::string& registry,
                                             Deadline deadline) {
  os::SpawnOptions run;
  run.argv = {"docker-credential-" + helper, "get"};
  run.stdin_text = registry + "\n";
  auto done = os::run(run, deadline);
  if (!done.ok()) return std::move(done).error().in("credentials of " + registry);
  if (done->exit_code != 0) {  // it says on standard output that it has none
    if (done->out.find("not found") != std::string::npos) return std::optional<Secret>();
    return Error(Code::kTool, "credentials of " + registry + ": " + run.argv[0] +
                                  " failed: " + std::string(trim(done->out + done->err)))
        .with("try", "docker login " + registry);
  }
  const Json answer = parse_json(done->out);
  const std::string user = text_of(answer, "Username"), secret = text_of(answer, "Secret");
  if (user == "<token>") return std::optional(header(Json{{"identitytoken", secret}, {"serveraddress", registry}}));
  return std::optional(header(Json{{"username", user}, {"password", secret}, {"serveraddress", registry}}));
}

}  // namespace

std::string registry_of(const std::string& reference) {
  const size_t slash = reference.find('/');
  if (slash == std::string::npos) return kDockerHub;
  const std::string first = reference.substr(0, slash);
  const bool is_host = first.find_first_of(".:") != std::string::npos || first == "localhost";
  return is_host && first != "docker.io" ? first : kDockerHub;
}

Result<std::optional<Secret>> registry_auth(const DockerEnvironment& environment, const std::string& registry,
                                            Deadline deadline) {
  const std::string dir = docker_config_dir(environment);
  auto text = dir.empty() ? Result<std::string>(std::string()) : os::read_file(dir + "/config.json", 1u << 20);
  if (!text.ok()) return std::optional<Secret>();
  const Json config = parse_json(*text);
  std::string helper = text_of(part_of(config, "credHelpers"), registry.c_str());
  if (helper.empty()) helper = text_of(config, "credsStore");
  if (!helper.empty()) {
    auto kept = kept_by_helper(helper, registry, deadline);
    if (!kept.ok() || kept->has_value()) return kept;
  }
  return kept_in_file(config, registry);
}

}  // namespace pgb::runtime
