// events: what was done when. Reads a file only, so that it answers without an engine.
#include <poll.h>

#include <cstdio>
#include <ctime>
#include <nlohmann/json.hpp>

#include "base/strings.h"
#include "cli/app.h"
#include "cli/context.h"
#include "cli/events_filter.h"
#include "cli/since.h"
#include "model/topology_json.h"
#include "os/file.h"

namespace pgb::cli {

std::string event_line(const std::string& line, const std::string& since, bool json) {
  const auto event = nlohmann::json::parse(line, nullptr, false);
  if (!event.is_object()) return "";
  const auto text_of = [&event](const char* key) {
    const auto found = event.find(key);
    return found != event.end() && found->is_string() ? found->get<std::string>() : "";
  };
  const std::string time = text_of("time");
  if (time < since) return "";  // RFC 3339 in UTC sorts as text
  return json ? line + "\n" : visible(time) + "  " + visible(text_of("text")) + "\n";
}

int verb_events(Context& context) {
  const auto since = since_text(context.line.get("--since"), std::time(nullptr));
  if (!since) return context.fail(no_time(context.line.get("--since")));
  cluster::Session session;  // without a runtime
  auto options = context.open_options();
  if (!options.ok()) return context.fail(options.error());
  session.options = std::move(*options);
  session.state_dir = cluster::default_state_dir();
  auto cluster = model::load_cluster(context.file());
  if (!cluster.ok()) return context.fail(cluster.error());
  session.wanted = std::move(*cluster);
  for (size_t told = 0;; poll(nullptr, 0, 200)) {
    auto text = os::read_file(session.events_file());
    if (!text.ok() && text.error().code == Code::kNotFound) {
      return context.fail(Error(Code::kNoCluster, "cluster " + session.wanted.cluster_name + " was not made"));
    }
    if (!text.ok()) return context.fail(text.error());
    const size_t whole = text->rfind('\n') + 1;  // 0 if there is no line yet
    if (whole < told) told = 0;                  // begun anew
    for (const std::string& line : split(std::string_view(*text).substr(told, whole - told), '\n')) {
      std::fputs(event_line(line, *since, context.json).c_str(), stdout);
    }
    told = whole;
    if (!context.line.has("--follow")) return 0;
    only_looks();
    std::fflush(stdout);
    if (Status ended = session.check_interrupted(); !ended.ok()) return error_info(ended.error().code).exit_code;
  }
}

}  // namespace pgb::cli
