// new, validate, completion, help, schema, version: what needs no cluster.
#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "cli/context.h"
#include "cli/topics.h"
#include "cluster/wanted.h"
#include "model/doubts.h"
#include "model/schema.h"
#include "model/topology_json.h"
#include "os/file.h"

namespace pgb::cli {

int verb_new(Context& context) {
  if (context.line.words.empty())
    return context.fail(Error(Code::kUsage, "a name is needed").with("try", "pgbalancer_cluster new demo"));
  const std::string text = nlohmann::ordered_json{{"cluster_name", context.line.words[0]}}.dump(2) + "\n";
  const model::Parsed parsed = model::parse_cluster(text);
  if (!parsed.mistakes.empty()) return context.fail(Error(Code::kUsage, parsed.mistakes[0].text));
  const std::string file = context.file();
  const int fd = open(file.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);  // never over an existing one
  if (fd < 0) return context.fail(os::errno_error("write", file, errno).with("changed", "nothing"));
  const bool whole = write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  close(fd);
  if (!whole) return context.fail(Error(Code::kDiskFull, "cannot write all of " + file));
  std::printf("%s is written: one balancer, a primary, two replicas.\n\n  next      %s\n", file.c_str(),
              context.again("init").c_str());
  return 0;
}

static std::vector<model::Mistake> find_doubts(const std::string& file, const model::Cluster& cluster,
                                               const std::string& text) {
  const size_t slash = file.rfind('/');
  const std::string folder = slash == std::string::npos ? "" : file.substr(0, slash + 1);
  model::Surroundings around;
  around.has_file = [&](const std::string& path) { return os::exists(path[0] == '/' ? path : folder + path); };
  around.has_variable = [](const std::string& name) { return std::getenv(name.c_str()) != nullptr; };
  return model::doubts(cluster, text, around);
}

int verb_validate(Context& context) {
  auto text = model::read_cluster_file(context.file());
  if (!text.ok()) return context.fail(text.error());
  cluster::Session session;  // without a runtime
  session.options.file = context.file();
  session.state_dir = cluster::default_state_dir();
  if (const Status known = cluster::want(session, *text); !known.ok()) return context.fail(known.error());
  const model::Cluster* const loaded = &session.wanted;
  const std::string file = context.file() == "-" ? "<stdin>" : context.file();
  std::vector<std::string> warnings;
  for (const model::Mistake& one : find_doubts(context.file(), *loaded, *text)) warnings.push_back(one.str(file));
  if (context.line.has("--strict") && !warnings.empty()) {
    Error error(Code::kConfig,
                file + ": " + std::to_string(warnings.size()) + " doubtful settings in the cluster file");
    for (const std::string& warning : warnings) error.with("doubt", warning);
    return context.fail(error);
  }
  if (!context.json) {
    for (const std::string& warning : warnings) std::fprintf(stderr, "warning: %s\n", visible(warning).c_str());
  }
  size_t servers = 0;
  for (const model::Balancer& balancer : loaded->balancers) servers += 1 + balancer.replicas.size();
  if (context.json) {
    std::printf("%s\n",
                nlohmann::json{{"v", 1}, {"ok", true}, {"cluster", loaded->cluster_name}, {"warnings", warnings}}
                    .dump()
                    .c_str());
  } else {
    std::printf("%s is right: cluster %s, %zu balancers, %zu servers.\n", file.c_str(), loaded->cluster_name.c_str(),
                loaded->balancers.size(), servers);
  }
  return 0;
}

int verb_completion(Context& context) {
  const std::string shell = context.line.words.empty() ? "" : context.line.words[0];
  const std::string text = completion(shell);
  if (text.empty()) {
    return context.fail(
        Error(Code::kUsage, "completion for which shell?").with("try", "pgbalancer_cluster completion bash"));
  }
  std::fputs(text.c_str(), stdout);
  return 0;
}

int verb_help(Context& context) {
  if (context.line.has("--man")) {
    std::fputs(man_page().c_str(), stdout);
  } else if (context.line.words.empty()) {
    std::fputs(help_text().c_str(), stdout);
  } else if (const VerbRow* verb = find_verb(context.line.words[0])) {
    std::fputs(help_text(*verb).c_str(), stdout);
  } else if (const std::string topic = topic_text(context.line.words[0]); !topic.empty()) {
    std::fputs(topic.c_str(), stdout);
  } else {
    return context.fail(Error(Code::kUsage, "there is no verb or topic " + context.line.words[0])
                            .with("try", "pgbalancer_cluster help"));
  }
  return 0;
}

int verb_schema(Context& context) {
  const std::string text = context.line.has("--markdown") ? model::reference_page() : model::json_schema() + "\n";
  return std::fputs(text.c_str(), stdout) < 0;
}

int verb_version(Context&) { return std::printf("pgbalancer_cluster %s\n", PGB_VERSION) < 0; }

}  // namespace pgb::cli
