// Begins TLS with a server, on a link that is connected and has carried nothing yet: the request, the server's answer,
// the handshake. Source: PostgreSQL documentation, "SSL Session Encryption".
#pragma once

#include <string>

#include "proxy/link.h"

namespace pgb::proxy {

class TlsUpgrade {
 public:
  enum class Step {
    kWait,     // call again when the loop reports the link
    kDone,     // the first packet can be sent: encrypted, or plain where that will do
    kRefused,  // it will not do another time either: why() says what is wrong
    kLost,     // the server went away
  };

  // `host`: what the certificate must be for, if that is verified.
  TlsUpgrade(net::TlsToServer how, std::string host) : how_(std::move(how)), host_(std::move(host)) {}

  // As far as it goes without waiting; then the link is watched for what is missing.
  Step step(Link& link, net::EventLoop& loop, net::Pollable& owner);
  // In a few words, to stand behind the server's name.
  const std::string& why() const { return why_; }

 private:
  Step answer(Link& link, net::EventLoop& loop, net::Pollable& owner);
  Step refused(std::string why);

  net::TlsToServer how_;
  std::string host_;
  std::string why_;
  bool asked_ = false;
  bool answered_ = false;
};

}  // namespace pgb::proxy
