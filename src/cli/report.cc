#include "cli/report.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/strings.h"

namespace pgb::cli {

std::string render_error(const Error& error) {
  const ErrorInfo& info = error_info(error.code);
  size_t width = 8;
  for (const auto& [label, text] : error.details) width = std::max(width, label.size());
  const auto line = [width](const std::string& label, const std::string& text) {
    std::string out;
    std::string head = label;
    for (const std::string& part : split(text, '\n')) {
      out += "  " + head + std::string(width - head.size(), ' ') + "  " + part + "\n";
      head.clear();
    }
    return out;
  };
  std::string out = "error: " + error.message + "\n";
  for (const auto& [label, text] : error.details) out += line(label, text);
  return out + line("code", std::string(info.id) + " (exit " + std::to_string(info.exit_code) + ")");
}

std::string error_json(const Error& error) {
  const ErrorInfo& info = error_info(error.code);
  return nlohmann::json{{"v", 1},
                        {"event", "error"},
                        {"code", info.id},
                        {"exit", info.exit_code},
                        {"message", error.message},
                        {"details", error.details}}
      .dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace pgb::cli
