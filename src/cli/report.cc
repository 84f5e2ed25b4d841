#include "cli/report.h"

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "base/strings.h"
#include "cli/terminal.h"
#include "cli/topics.h"

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
  std::string out = "error: " + visible(trim(error.message), true) + "\n";
  for (const auto& [label, text] : error.details) out += line(label, visible(text, true));
  std::string code = std::string(info.id) + " (exit " + std::to_string(info.exit_code) + ")";
  if (const std::string_view topic = topic_of(error.code); !topic.empty()) {
    code += "   help: pgbalancer_cluster help " + std::string(topic);
  }
  return out + line("code", code);
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

int report(const Error& error, bool json) {
  if (json) std::printf("%s\n", error_json(error).c_str());
  std::fflush(stdout);
  std::fputs(render_error(error).c_str(), stderr);
  return error_info(error.code).exit_code;
}

std::string shell_word(const std::string& text) {
  constexpr std::string_view kPlain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:@%+=,";
  if (!text.empty() && text.find_first_not_of(kPlain) == std::string::npos) return text;
  std::string out = "'";
  for (char c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

}  // namespace pgb::cli
