// An HTTP/1.1 request and its answer, as values.
#pragma once

#include <map>
#include <string>

namespace pgb::http {

struct Request {
  std::string method = "GET";
  std::string target = "/";                    // path and query, already escaped
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;
};

struct Response {
  int status = 200;
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;
};

}  // namespace pgb::http
