// Answers with JSON in them. Only for .cc files.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "http/message.h"

namespace pgb::control {

inline http::Response json_response(const nlohmann::json& document, int status = 200) {
  http::Response response;
  response.status = status;
  response.headers["content-type"] = "application/json";
  response.headers["cache-control"] = "no-store";
  response.body = document.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
  return response;
}

// A member of a request's body that is a text of a sensible length; nothing otherwise.
inline std::optional<std::string> text_in(const nlohmann::json& body, const char* key, size_t longest = 1024) {
  if (!body.is_object()) return std::nullopt;
  const auto found = body.find(key);
  if (found == body.end() || !found->is_string()) return std::nullopt;
  std::string text = found->get<std::string>();
  if (text.empty() || text.size() > longest || text.find('\0') != std::string::npos) return std::nullopt;
  return text;
}

}  // namespace pgb::control
