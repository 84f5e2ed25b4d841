// Answers with JSON in them. Only for .cc files.
#pragma once

#include <nlohmann/json.hpp>

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

}  // namespace pgb::control
