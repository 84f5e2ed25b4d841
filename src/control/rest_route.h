// What the REST interface is made of: a table of routes (rest_routes.cc), each with the function that answers it and
// what has to be known to describe it (openapi.h).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "control/access.h"
#include "control/commands.h"
#include "control/rest_settings.h"
#include "http/message.h"

namespace pgb::control {

class LiveState;
class Logins;

// What answers have at hand. Everything in it is thread-safe and outlives them.
struct RestContext {
  const RestSettings& settings;
  const Actions& actions;
  Logins& logins;
  const LiveState& live;
};

struct RestCall {
  const RestContext& rest;
  const http::Request& request;
  Arguments path;   // what stands for {…} in the route's path
  Arguments query;  // behind the question mark
  Role role = Role::kNobody;
  std::string user;  // who asks, for the log; empty: by a fixed token, or nobody knows
};

struct RestParameter {
  const char* name;
  const char* type;  // of JSON Schema: "string", "number" …
  const char* about;
};

struct RestRoute {
  const char* method;  // GET: HEAD, too
  const char* path;    // {name} stands for one part of it
  Role needs;          // kNobody: nobody has to say who he is
  const char* summary;
  const char* answers;  // on success: a schema of rest_schemas.h, or a media type (which has a slash)
  http::Response (*answer)(const RestCall& call);  // on the connection's thread; may wait
  std::vector<RestParameter> query = {};
  const char* body = nullptr;  // schema of the request's body
  int otherwise = 0;           // another status with the same schema; 0: there is none
  bool looks = false;          // it changes nothing, although it is posted
};

// All of them, in the order in which they are described.
const std::vector<RestRoute>& rest_routes();

// Parts of that table, each from a file of its own.
std::vector<RestRoute> look_routes();     // what there is
std::vector<RestRoute> command_routes();  // what can be done about it
std::vector<RestRoute> group_routes();    // who leads the group, and who led it
std::vector<RestRoute> live_routes();     // the state as the page shows it
std::vector<RestRoute> probe_routes();    // for load balancers and orchestrators
std::vector<RestRoute> patroni_routes();  // the group in Patroni's words
std::vector<RestRoute> login_routes();    // and the description of the interface

// An error as an answer, with the status that its code means.
http::Response rest_refusal(const Error& error);

}  // namespace pgb::control
