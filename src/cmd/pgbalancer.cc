// The balancer: reads its configuration, serves PostgreSQL clients and the REST interface, and watches
// the servers until it is told to stop.
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include "control/service.h"
#include "os/subprocess.h"

namespace {

using namespace pgb;

constexpr char kUsage[] =
    "usage: pgbalancer --config FILE [--check | --take-over]\n"
    "       pgbalancer --version\n"
    "  --config FILE  the balancer's JSON configuration\n"
    "  --check        only says whether the configuration is right\n"
    "  --take-over    takes over from the balancer that runs, if one does; needs takeover_socket in the "
    "configuration\n";

struct Options {
  std::string config;
  bool check = false;
  bool take_over = false;
  bool version = false;
  bool help = false;
};

Result<Options> parse_options(const std::vector<std::string>& args) {
  Options options;
  for (size_t i = 0; i < args.size(); ++i) {
    if (args[i] == "--config" && i + 1 < args.size()) {
      options.config = args[++i];
    } else if (args[i].rfind("--config=", 0) == 0) {
      options.config = args[i].substr(9);
    } else if (args[i] == "--check") {
      options.check = true;
    } else if (args[i] == "--take-over") {
      options.take_over = true;
    } else if (args[i] == "--version") {
      options.version = true;
    } else if (args[i] == "--help" || args[i] == "-h") {
      options.help = true;
    } else {
      return Error(Code::kUsage, "unknown or incomplete option " + args[i]).with("try", "pgbalancer --help");
    }
  }
  if (options.config.empty() && !options.version && !options.help) {
    return Error(Code::kUsage, "--config is missing").with("try", "pgbalancer --config balancer.json");
  }
  return options;
}

int report(const Error& error) {
  const ErrorInfo& info = error_info(error.code);
  std::fprintf(stderr, "pgbalancer: %s [%.*s]\n", error.message.c_str(), static_cast<int>(info.id.size()),
               info.id.data());
  for (const auto& [label, text] : error.details) std::fprintf(stderr, "  %s: %s\n", label.c_str(), text.c_str());
  return info.exit_code;
}

Status run(const Options& options, const std::string& program) {
  auto config = control::load_balancer_config(options.config);
  if (!config) return std::move(config).error();
  auto settings = control::proxy_settings(*config);  // before root is given up: the key may be root's
  if (!settings) return std::move(settings).error();
  if (options.take_over && config->takeover_socket.empty()) {
    return Error(Code::kConfig, "--take-over needs takeover_socket in " + options.config);
  }
  if (options.check) return Status();
  auto service = control::Service::create({program, options.config, options.take_over}, std::move(*config));
  if (!service) return std::move(service).error();
  PGB_TRY((*service)->start(std::move(*settings)));
  (*service)->serve();
  return Status();
}

}  // namespace

int main(int argc, char** argv) {
  const auto options = parse_options(std::vector<std::string>(argv + 1, argv + argc));
  if (!options) return report(options.error());
  if (options->help) return std::fputs(kUsage, stdout) < 0;
  if (options->version) return std::printf("pgbalancer %s\n", PGB_VERSION) < 0;
  const auto program = os::find_program(argv[0]);
  const Status status = run(*options, program ? *program : argv[0]);
  return status.ok() ? 0 : report(status.error());
}
