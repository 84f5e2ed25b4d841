// An HTTP/1.1 request and its answer, as values.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>

namespace pgb::http {

struct Request {
  std::string method = "GET";
  std::string target = "/";                    // path and query, already escaped
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;
  std::string peer = {};  // at a server: the IP address that it came from; empty: not known
};

struct Response {
  int status = 200;
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;

  // A server's answer of unknown length, sent in chunks after `body`: asked again and again, on the connection's
  // thread, for the next piece; empty: none yet, nothing: the end. Each call should return within a quarter of a
  // second, for between two the server looks whether the peer is still there and whether it has to stop.
  std::function<std::optional<std::string>()> more = nullptr;

  bool known = false;  // a server's: who asked has shown who he is, so his connection stays longer than others
};

}  // namespace pgb::http
