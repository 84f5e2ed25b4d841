// The balancer's REST interface: finds the route for a request and whether who asks may have it; see rest_route.h for
// what there is.
#pragma once

#include <string>
#include <utility>

#include "control/access.h"
#include "control/live_state.h"
#include "control/logins.h"
#include "control/rest_route.h"
#include "control/rest_settings.h"
#include "control/web_page.h"
#include "http/message.h"

namespace pgb::control {

class RestApi {
 public:
  // The actions are called on a connection's thread, and so is what `logins` asks.
  RestApi(RestSettings settings, Actions actions, Logins::Surroundings logins)
      : settings_(std::move(settings)),
        actions_(std::move(actions)),
        logins_(std::move(logins), settings_.token_key),
        live_(actions_.proxy, actions_.roles, {settings_.group, settings_.cluster}) {}
  RestApi(const RestApi&) = delete;
  RestApi& operator=(const RestApi&) = delete;

  // Answers any request; thread-safe. A stream that it gives must not be asked after this has ended.
  http::Response handle(const http::Request& request);

  // What tokens are signed with, for a process that takes over.
  const Secret& token_key() const { return logins_.token_key(); }

 private:
  struct Asker {
    Role role = Role::kNobody;
    std::string user;
  };
  Asker asker_of(const http::Request& request, bool looks) const;
  void end_with_rights(http::Response& answer, const http::Request& request, Role needs) const;
  bool may_read_unnamed(const http::Request& request) const;  // if he only looks

  const RestSettings settings_;
  const Actions actions_;
  Logins logins_;
  LiveState live_;
  const WebPage page_{[this] { return live_.text(); }};
  const RestContext context_{settings_, actions_, logins_, live_};
};

}  // namespace pgb::control
