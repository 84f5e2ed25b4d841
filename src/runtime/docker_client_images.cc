#include "runtime/docker_client.h"
#include "runtime/docker_error.h"
#include "runtime/docker_json.h"
#include "runtime/docker_text.h"

namespace pgb::runtime {
namespace {

// A reference may hold slashes, which the path keeps.
std::string escape_reference(const std::string& reference) {
  std::string escaped;
  for (char c : reference) {
    bool kept = c == '/' || c == ':' || c == '@';
    escaped += kept ? std::string(1, c) : url_escape(std::string_view(&c, 1));
  }
  return escaped;
}

}  // namespace

Result<std::optional<DockerImage>> DockerClient::inspect_image(const std::string& reference, Deadline deadline) const {
  auto answer =
      ask("inspect image " + reference, {"GET", "/images/" + escape_reference(reference) + "/json", "", ""}, deadline);
  if (!answer.ok()) {
    Error error = std::move(answer).error();
    if (error.code == Code::kImage || error.code == Code::kNotFound) return std::optional<DockerImage>();
    return error;
  }
  Json json = parse_json(*answer);
  DockerImage image;
  image.id = text_of(json, "Id");
  const Json& volumes = part_of(part_of(json, "Config"), "Volumes");
  if (volumes.is_object()) {
    for (auto it = volumes.begin(); it != volumes.end(); ++it) image.volumes.push_back(it.key());
  }
  return std::optional(image);
}

Result<std::vector<DockerImage>> DockerClient::list_images(const std::vector<std::string>& labels,
                                                           Deadline deadline) const {
  std::string filter = url_escape(print_json(Json{{"label", labels}}));
  auto answer = ask("list images", {"GET", "/images/json?filters=" + filter, "", ""}, deadline);
  if (!answer.ok()) return std::move(answer).error();
  std::vector<DockerImage> images;
  for (const Json& entry : parse_json(*answer)) {
    DockerImage image;
    image.id = text_of(entry, "Id");
    for (const Json& tag : part_of(entry, "RepoTags")) {
      if (tag.is_string()) image.tags.push_back(tag.get<std::string>());
    }
    images.push_back(std::move(image));
  }
  return images;
}

Status DockerClient::import_image(const std::string& repository, const std::string& tag, std::string tar,
                                  const std::vector<std::string>& changes, Deadline deadline) const {
  std::string doing = "import image " + repository + ":" + tag;
  Call call{"POST", "/images/create?fromSrc=-&repo=" + url_escape(repository) + "&tag=" + url_escape(tag),
            std::move(tar), "application/x-tar"};
  for (const std::string& change : changes) call.path += "&changes=" + url_escape(change);
  auto answer = ask(doing, std::move(call), deadline);
  if (!answer.ok()) return std::move(answer).error();
  ProgressReader reader(nullptr);
  reader.feed(*answer + "\n");
  if (!reader.error().empty()) return engine_error(doing, 0, reader.error());
  return {};
}

Status DockerClient::pull_image(const std::string& reference, const std::optional<Secret>& auth,
                                const std::function<void(const std::string&)>& progress, Deadline deadline) const {
  std::string doing = "pull image " + reference;
  auto [repository, tag] = split_reference(reference);
  Call call{"POST", "/images/create?fromImage=" + url_escape(repository), "", ""};
  if (!tag.empty()) call.path += "&tag=" + url_escape(tag);
  call.registry_auth = auth;
  ProgressReader reader(progress);
  std::function<bool(std::string_view)> on_data = [&](std::string_view piece) { return reader.feed(piece), true; };
  auto response = send(call, deadline, &on_data);
  if (!response.ok()) return std::move(response).error().in(doing);
  reader.feed("\n");
  if (response->status / 100 == 2 && reader.error().empty()) return {};
  std::string sentence = reader.error();
  if (sentence.empty()) sentence = text_of(parse_json(response->body), "message");
  return engine_error(doing, response->status, sentence);
}

Status DockerClient::remove_image(const std::string& reference, Deadline deadline) const {
  return tell("remove image " + reference, {"DELETE", "/images/" + escape_reference(reference), "", ""}, deadline,
              true);
}

}  // namespace pgb::runtime
