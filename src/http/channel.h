// Inside http only: a client's end of one connection, over TCP, TLS or a Unix socket, and requests over it, one after
// the other. Throws what Boost throws.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string_view>

#include "http/client.h"

namespace pgb::http {

// Gets each piece of a body, told with the status; false ends the exchange.
using Sink = std::function<bool(int status, std::string_view piece)>;

class Channel {
 public:
  explicit Channel(const Endpoint& endpoint);
  ~Channel();

  // What went wrong; nothing: it is connected.
  std::optional<Error> open(const Request& request, Deadline deadline, const CallAids& aids);

  // `keep`: the server is asked to leave the connection open. After a failure there is none.
  Result<Response> talk(const Request& request, Deadline deadline, const Sink& sink, const CallAids& aids, bool keep);

  int fd() const;  // -1: there is no connection that another request could go over
  void close();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace pgb::http
