#include <arpa/inet.h>

#include "base/strings.h"
#include "http/client.h"

namespace pgb::http {
namespace {

bool is_address(const std::string& host) {
  unsigned char bytes[sizeof(in6_addr)];
  return host == "localhost" || ::inet_pton(AF_INET, host.c_str(), bytes) == 1 ||
         ::inet_pton(AF_INET6, host.c_str(), bytes) == 1;
}

Error not_an_endpoint(std::string_view url, const std::string& why) {
  return Error(Code::kUsage, "'" + std::string(url) + "' is no usable address: " + why)
      .with("try", "unix:///path/of/socket, tcp://127.0.0.1:2375 or https://127.0.0.1:2376");
}

struct Scheme {
  std::string_view prefix;
  Endpoint::Kind kind;
  uint16_t default_port;
};

constexpr Scheme kSchemes[] = {
    {"tcp://", Endpoint::Kind::kTcp, 2375},
    {"http://", Endpoint::Kind::kTcp, 80},
    {"https://", Endpoint::Kind::kTls, 443},
};

// "host", "host:port", "[v6]:port", each with a "/" behind it or not.
Result<Endpoint> parse_authority(std::string_view url, std::string_view rest, const Scheme& scheme) {
  Endpoint endpoint;
  endpoint.kind = scheme.kind;
  endpoint.port = scheme.default_port;
  if (!rest.empty() && rest.back() == '/') rest.remove_suffix(1);
  std::string_view port;
  bool has_port = false;
  if (!rest.empty() && rest.front() == '[') {
    size_t close = rest.find(']');
    if (close == std::string_view::npos) return not_an_endpoint(url, "']' is missing");
    endpoint.host = std::string(rest.substr(1, close - 1));
    rest.remove_prefix(close + 1);
    if (!rest.empty() && rest.front() != ':') return not_an_endpoint(url, "after ']' comes ':' and the port");
    has_port = !rest.empty();
    if (has_port) port = rest.substr(1);
  } else {
    size_t colon = rest.find(':');
    has_port = colon != std::string_view::npos;
    endpoint.host = std::string(rest.substr(0, colon));
    if (has_port) port = rest.substr(colon + 1);
  }
  if (!is_address(endpoint.host)) return not_an_endpoint(url, "the host must be an IP address or localhost");
  if (has_port) {
    auto number = parse_port(port);
    if (!number) return not_an_endpoint(url, "the port must be a number from 1 to 65535");
    endpoint.port = *number;
  }
  return endpoint;
}

}  // namespace

Result<Endpoint> Endpoint::parse(std::string_view url) {
  constexpr std::string_view kUnixPrefix = "unix://";
  if (url.substr(0, kUnixPrefix.size()) == kUnixPrefix) {
    Endpoint endpoint;
    endpoint.kind = Kind::kUnix;
    endpoint.path = std::string(url.substr(kUnixPrefix.size()));
    if (endpoint.path.empty() || endpoint.path.front() != '/') {
      return not_an_endpoint(url, "the path of the socket must begin with '/'");
    }
    if (endpoint.path.find('\0') != std::string::npos) return not_an_endpoint(url, "a zero byte in the path");
    return endpoint;
  }
  for (const Scheme& scheme : kSchemes) {
    if (url.substr(0, scheme.prefix.size()) == scheme.prefix) {
      return parse_authority(url, url.substr(scheme.prefix.size()), scheme);
    }
  }
  return not_an_endpoint(url, "it begins with none of unix://, tcp://, http://, https://");
}

std::string Endpoint::str() const {
  if (kind == Kind::kUnix) return "unix://" + path;
  std::string name = host.find(':') == std::string::npos ? host : "[" + host + "]";
  return (kind == Kind::kTls ? "https://" : "tcp://") + name + ":" + std::to_string(port);
}

}  // namespace pgb::http
