// What a session needs until its client is logged in; gone afterwards. Of the session's own thread.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>

#include "pgwire/auth_server.h"
#include "pgwire/framer.h"
#include "pgwire/md5_server.h"
#include "proxy/cancel_job.h"
#include "proxy/hba_rules.h"
#include "proxy/parameter_set.h"
#include "proxy/user_secret.h"

namespace pgb::proxy {

struct SessionLogin {
  std::string first_bytes;
  pgwire::Framer framer{pgwire::kMaxAuthBody};
  bool ssl_answered = false;
  bool gss_answered = false;
  bool direct_tls = false;  // begun without a request
  std::map<std::string, std::string> params;
  Replication replication = Replication::kNone;
  AuthMethod method = AuthMethod::kScram;
  UserSecret secret;  // the user's, while he proves that he knows it
  std::optional<pgwire::AuthServer> scram;
  std::optional<pgwire::Md5Server> md5;
  pgwire::Credentials known;  // afterwards: to log in at the servers
  std::unique_ptr<CancelJob> cancel;
};

}  // namespace pgb::proxy
