#include "base/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <memory>

namespace pgb::log {

static spdlog::level::level_enum to_spdlog(Level level) {
  switch (level) {
    case Level::kDebug: return spdlog::level::debug;
    case Level::kInfo: return spdlog::level::info;
    case Level::kWarn: return spdlog::level::warn;
    case Level::kError: return spdlog::level::err;
  }
  return spdlog::level::info;
}

static std::shared_ptr<spdlog::logger>& logger() {
  static std::shared_ptr<spdlog::logger> instance =
      std::make_shared<spdlog::logger>("pgbalancer", std::make_shared<spdlog::sinks::stderr_sink_mt>());
  return instance;
}

void setup(std::string_view program, Level least) {
  logger() = std::make_shared<spdlog::logger>(std::string(program), std::make_shared<spdlog::sinks::stderr_sink_mt>());
  logger()->set_pattern("%Y-%m-%dT%H:%M:%S.%eZ %-7l %n: %v", spdlog::pattern_time_type::utc);
  logger()->set_level(to_spdlog(least));
  logger()->flush_on(spdlog::level::debug);
}

void write(Level level, std::string_view message) { logger()->log(to_spdlog(level), message); }

}  // namespace pgb::log
