#include "control/rest_api.h"

#include <gtest/gtest.h>

#include <chrono>
#include <nlohmann/json.hpp>

#include "control/fake_proxy.h"
#include "control/rest_route.h"

namespace pgb::control {
namespace {

class RestApiTest : public ::testing::Test {
 protected:
  http::Response call(const std::string& method, const std::string& target, const std::string& token = "secret") {
    RestSettings settings;
    settings.token = Secret("secret");
    settings.stats_token = Secret("look");
    RestApi api(settings, Actions{proxy_, [this] { return reloaded_; }, [this](bool wait) { waits_ = wait; }},
                {[] { return std::make_shared<const BalancerConfig>(); },
                 [this](const std::string& user) { return proxy_.secret_of(user, {}); }});
    http::Request request;
    request.method = method;
    request.target = target;
    if (!token.empty()) request.headers["authorization"] = "Bearer " + token;
    return api.handle(request);
  }
  // Without a token, from there.
  int unnamed(const std::string& method, std::map<std::string, std::string> headers,
              const std::string& peer = "127.0.0.1", bool local_reads = true,
              const std::string& target = "/api/v1/pools") {
    RestSettings settings;
    settings.token = Secret("secret");
    settings.local_reads = local_reads;
    RestApi api(settings, Actions{proxy_, [] { return Status(); }, [](bool) {}},
                {[] { return std::make_shared<const BalancerConfig>(); },
                 [this](const std::string& user) { return proxy_.secret_of(user, {}); }});
    http::Request request;
    request.method = method;
    request.target = target;
    request.headers = std::move(headers);
    request.peer = peer;
    return api.handle(request).status;
  }
  FakeProxy proxy_;
  Status reloaded_;
  std::optional<bool> waits_;  // how it was told to shut down
};

TEST_F(RestApiTest, OnlyHealthzIsOpenToEverybody) {
  EXPECT_EQ(call("GET", "/healthz", "").status, 200);
  for (const char* target : {"/api/v1/status", "/api/v1/control/reload", "/nothing"}) {
    EXPECT_EQ(call("GET", target, "").status, 401) << target;
    EXPECT_EQ(call("POST", target, "wrong").status, 401) << target;
  }
  EXPECT_EQ(call("GET", "/nothing").status, 404);
  EXPECT_EQ(call("GET", "/api/v1/control/reload").status, 405);
}

TEST_F(RestApiTest, OnThisMachineOneMayLookWithoutAToken) {
  for (const char* host : {"localhost", "localhost:8080", "127.0.0.1:80", "[::1]", "[::1]:8080"}) {
    EXPECT_EQ(unnamed("GET", {{"host", host}}), 200) << host;
  }
  EXPECT_EQ(unnamed("GET", {{"host", "localhost:80"}, {"origin", "http://localhost:80"}}, "::1"), 200);
  EXPECT_EQ(unnamed("POST", {{"host", "localhost"}}, "127.0.0.1", true, "/api/v1/control/reload"), 401);
  EXPECT_EQ(unnamed("GET", {{"host", "localhost"}}, "127.0.0.1", false), 401);
  for (const char* peer : {"10.0.0.1", "", "::2", "1127.0.0.1"})
    EXPECT_EQ(unnamed("GET", {{"host", "localhost"}}, peer), 401);
}

TEST_F(RestApiTest, APageFromElsewhereCannotLookThroughTheBrowserHere) {
  for (const char* host : {"evil.example", "evil.example:8080", "localhost.evil.example", "127.0.0.1.evil.example", "",
                           "localhost, evil.example", "localhost:x", "[::1"}) {
    EXPECT_EQ(unnamed("GET", {{"host", host}}), 401) << host;
  }
  EXPECT_EQ(unnamed("GET", {}), 401);
  for (const char* origin : {"http://evil.example", "http://localhost:3000", "null", "localhost:80", ""}) {
    EXPECT_EQ(unnamed("GET", {{"host", "localhost:80"}, {"origin", origin}}), 401) << origin;
  }
  EXPECT_EQ(unnamed("GET", {{"host", "localhost"}, {"authorization", "Bearer wrong"}}), 401);
}

TEST_F(RestApiTest, APageFromElsewhereGivesNoCommands) {
  const auto status = [this](std::map<std::string, std::string> headers, const std::string& method = "POST") {
    headers["authorization"] = "Bearer secret";
    headers["host"] = "lb:80";
    return unnamed(method, std::move(headers), "10.0.0.1", true, "/api/v1/control/reload");
  };
  EXPECT_EQ(status({}), 200);
  EXPECT_EQ(status({{"sec-fetch-site", "same-origin"}}), 200);
  EXPECT_EQ(status({{"sec-fetch-site", "none"}}), 200);
  EXPECT_EQ(status({{"origin", "https://lb:80"}}), 200);
  for (const char* site : {"cross-site", "same-site", "", "same-origin, cross-site"}) {
    EXPECT_EQ(status({{"sec-fetch-site", site}}), 403) << site;
  }
  for (const char* origin : {"http://evil.example", "null", "http://lb", "lb:80", ""}) {
    EXPECT_EQ(status({{"origin", origin}}), 403) << origin;
    EXPECT_EQ(status({{"origin", origin}}, "GET"), 405) << "looking is another matter";
  }
}

TEST_F(RestApiTest, AStreamEndsWhenItsReaderIsOffTheList) {
  BalancerConfig config;
  config.stats_users = {"alice"};
  RestSettings settings;
  settings.token = Secret("secret");
  RestApi api(settings, Actions{proxy_, [] { return Status(); }, [](bool) {}},
              {[&] { return std::make_shared<const BalancerConfig>(config); },
               [this](const std::string& user) { return proxy_.secret_of(user, {}); }});
  http::Request request;
  request.method = "POST";
  request.target = "/api/v1/auth/login";
  request.body = R"({"username": "alice", "password": "wonderland"})";
  const auto session = nlohmann::json::parse(api.handle(request).body);
  request.method = "GET";
  request.target = "/api/v1/events";
  request.headers["authorization"] = "Bearer " + session["token"].get<std::string>();
  const auto answer = api.handle(request);
  ASSERT_TRUE(answer.more);
  EXPECT_EQ(answer.more()->find("event: end"), std::string::npos);
  config.stats_users.clear();
  EXPECT_EQ(answer.more()->rfind("event: end\n", 0), 0u);
  EXPECT_FALSE(answer.more());
}

TEST_F(RestApiTest, ALoginGivesATokenThatIsTaken) {
  BalancerConfig config;
  config.stats_users = {"alice"};
  RestSettings settings;
  settings.token = Secret("secret");
  RestApi api(settings, Actions{proxy_, [] { return Status(); }, [](bool) {}},
              {[&] { return std::make_shared<const BalancerConfig>(config); },
               [this](const std::string& user) { return proxy_.secret_of(user, {}); }});
  const auto log_in = [&](const std::string& body) {
    http::Request request;
    request.method = "POST";
    request.target = "/api/v1/auth/login";
    request.body = body;
    request.peer = "10.0.0.9";
    return api.handle(request);
  };
  for (const char* body :
       {"", "{}", "[]", "null", "{\"username\":\"alice\"}", "{\"username\":1,\"password\":\"x\"}",
        "{\"username\":\"alice\",\"password\":\"\"}", "{\"username\":\"alice\",\"password\":\"x\",\"more\":1}"}) {
    EXPECT_EQ(log_in(body).status, 400) << body;
  }
  const auto good = log_in(R"({"username": "alice", "password": "wonderland"})");
  ASSERT_EQ(good.status, 200) << good.body;
  const auto session = nlohmann::json::parse(good.body);
  EXPECT_EQ(session["role"], "viewer");
  EXPECT_EQ(session["expires_in"], 3600);
  http::Request request;
  request.target = "/api/v1/pools";
  request.headers["authorization"] = "Bearer " + session["token"].get<std::string>();
  EXPECT_EQ(api.handle(request).status, 200);
  request.method = "POST";
  request.target = "/api/v1/control/pause";
  EXPECT_EQ(api.handle(request).status, 403);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(log_in(R"({"username": "alice", "password": "wrong"})").status, 401) << i;
  const auto waits = log_in(R"({"username": "alice", "password": "wonderland"})");
  EXPECT_EQ(waits.status, 429);
  EXPECT_EQ(nlohmann::json::parse(waits.body)["type"], "PGB-TOO-MANY");
  EXPECT_GE(std::stoi(waits.headers.at("retry-after")), 1);
}

TEST_F(RestApiTest, ProbesAnswerWithTheirStatus) {
  EXPECT_EQ(call("GET", "/primary", "").status, 503) << "the one node is not healthy";
  proxy_.healthy = true;
  for (const char* method : {"GET", "HEAD", "OPTIONS"}) {
    EXPECT_EQ(call(method, "/primary", "").status, 200) << method;
    EXPECT_EQ(call(method, "/replica?lag=10MB", "").status, 503) << method;
    EXPECT_EQ(call(method, "/read-only?lag=16kB", "").status, 200) << method;
    EXPECT_EQ(call(method, "/readyz", "").status, 200) << method;
  }
  EXPECT_EQ(call("GET", "/primary?node=primary1", "").status, 200);
  EXPECT_EQ(call("GET", "/primary?node=other", "").status, 404);
  for (const char* lag : {"x", "-1", "1e3", "10XB", "99999999999999999999"}) {
    EXPECT_EQ(call("GET", std::string("/replica?lag=") + lag, "").status, 400) << lag;
  }
  EXPECT_EQ(call("POST", "/primary").status, 405);
}

TEST_F(RestApiTest, AnArgumentThatNobodyKnowsIsNotLost) {
  proxy_.healthy = true;
  for (const char* target : {"/read-only?log=1MB", "/primary?nodes=primary1", "/healthz?x", "/primary?lag=1MB"}) {
    EXPECT_EQ(call("GET", target, "").status, 400) << target;
    EXPECT_EQ(call("OPTIONS", target, "").status, 400) << target;
  }
  const auto refused = call("GET", "/replica?log=1MB", "");
  EXPECT_NE(refused.body.find("/replica knows no argument log; arguments: node, lag"), std::string::npos)
      << refused.body;
  EXPECT_EQ(call("GET", "/api/v1/pools?database=shop").status, 400);
  EXPECT_EQ(call("GET", "/read-only?&lag=1MB&", "").status, 200);
}

// A replica to which the router sends nothing is none for a load balancer, either, however few bytes it lacks.
TEST_F(RestApiTest, AReplicaIsOneThatTheRouterWouldSendReadsTo) {
  proxy_.healthy = true;
  proxy_.more = {{"replica1", "10.0.0.2", 5432, proxy::NodeRole::kReplica, true, ""}};
  proxy::NodeGauge& gauge = *proxy_.more[0].gauge;
  const auto ago = [&](std::chrono::seconds age) {
    gauge.caught_up_ns = std::chrono::nanoseconds((std::chrono::steady_clock::now() - age).time_since_epoch()).count();
  };
  const auto status = [&](const char* target) { return call("GET", target, "").status; };
  gauge.behind_bytes = 24'000;
  ago(std::chrono::seconds(2));
  EXPECT_EQ(status("/replica?node=replica1&lag=1MB"), 200);
  EXPECT_EQ(status("/replica?lag=16kB"), 503);
  ago(std::chrono::seconds(660));
  for (const char* target : {"/replica", "/replica?node=replica1", "/replica?lag=1MB", "/read-only?node=replica1"}) {
    EXPECT_EQ(status(target), 503) << target;
  }
  EXPECT_NE(call("GET", "/replica", "").body.find("replica1 is 24000 bytes behind"), std::string::npos);
  EXPECT_EQ(status("/read-only"), 200) << "the primary is left";
  proxy_.healthy = false;
  EXPECT_EQ(status("/replica"), 200) << "without a primary it is all there is";
  proxy_.healthy = true;
  proxy_.settings.max_replica_lag = {};
  EXPECT_EQ(status("/replica"), 200) << "no limit";
  proxy_.settings.max_replica_lag_bytes = 20'000;
  EXPECT_EQ(status("/replica?lag=1MB"), 503) << "what is asked can only be stricter";
  proxy_.settings = {};
  ago(std::chrono::seconds(0));
  gauge.ejected_until_ns = 1;
  EXPECT_EQ(status("/replica"), 503) << "traffic met an error there";
  gauge.ejected_until_ns = 0;
  proxy_.more[0].weight = 0;
  EXPECT_EQ(status("/replica"), 503) << "it gets no share of the reads";
}

TEST_F(RestApiTest, WhatAPathTakesIsSaid) {
  const auto options = call("OPTIONS", "/api/v1/nodes/primary1/drain");
  EXPECT_EQ(options.status, 204);
  EXPECT_EQ(options.headers.at("allow"), "POST, OPTIONS");
  EXPECT_EQ(call("DELETE", "/api/v1/nodes").headers.at("allow"), "GET, HEAD, OPTIONS");
}

TEST_F(RestApiTest, NodesByNameAndNumber) {
  for (const char* node : {"primary1", "0"}) {
    const auto answer = call("GET", std::string("/api/v1/nodes/") + node);
    ASSERT_EQ(answer.status, 200) << node;
    EXPECT_EQ(nlohmann::json::parse(answer.body)["node"]["name"], "primary1");
  }
  for (const char* node : {"1", "-1", "00", "other", "%2e%2e"}) {
    EXPECT_EQ(call("GET", std::string("/api/v1/nodes/") + node).status, 404) << node;
  }
  EXPECT_EQ(call("POST", "/api/v1/nodes/0/detach").status, 200);
  EXPECT_EQ(proxy_.said, "drain primary1 -1 0");
  EXPECT_EQ(call("POST", "/api/v1/nodes/0/attach").status, 200);
  EXPECT_EQ(proxy_.said, "undrain primary1");
}

TEST_F(RestApiTest, WhereNoAgentsChooseThePrimaryNobodyIsPromoted) {
  for (const char* target : {"nodes/primary1/promote", "nodes/primary1/recovery", "watchdog/start", "watchdog/stop"}) {
    EXPECT_EQ(call("POST", std::string("/api/v1/") + target).status, 409) << target;
  }
  EXPECT_EQ(call("POST", "/api/v1/nodes/other/promote").status, 404);
  const auto get = [this](const char* what) {
    return nlohmann::json::parse(call("GET", std::string("/api/v1/") + what).body);
  };
  EXPECT_EQ(get("watchdog/status")["kind"], "none");
  EXPECT_EQ(get("history")["kept"], false);
  EXPECT_EQ(get("topology")["primary"], nullptr);
}

TEST_F(RestApiTest, TheDescriptionHasEveryRouteAndEverySchemaThatItSpeaksOf) {
  const auto document = nlohmann::json::parse(call("GET", "/api/v1/openapi.json", "").body);
  EXPECT_EQ(document["openapi"], "3.1.0");
  for (const RestRoute& route : rest_routes()) EXPECT_TRUE(document["paths"].contains(route.path)) << route.path;
  const std::string text = document.dump();
  const std::string reference = "#/components/schemas/";
  for (size_t at = text.find(reference); at != std::string::npos; at = text.find(reference, at + 1)) {
    const std::string name = text.substr(at + reference.size(), text.find('"', at) - at - reference.size());
    EXPECT_TRUE(document["components"]["schemas"].contains(name)) << name;
  }
}

TEST_F(RestApiTest, WhoMayOnlyLookGivesNoCommands) {
  EXPECT_EQ(call("GET", "/api/v1/pools", "look").status, 200);
  const auto refused = call("POST", "/api/v1/control/pause", "look");
  EXPECT_EQ(refused.status, 403);
  EXPECT_NE(refused.body.find("pause is for the role operator, not for viewer"), std::string::npos) << refused.body;
  EXPECT_EQ(proxy_.said, "");
}

TEST_F(RestApiTest, StatusTellsNumbersAndNodes) {
  const auto document = nlohmann::json::parse(call("GET", "/api/v1/status").body);
  EXPECT_EQ(document["clients"], 3);
  EXPECT_EQ(document["nodes"][0]["name"], "primary1");
  EXPECT_EQ(document["nodes"][0]["role"], "unknown") << "it does not answer";
  EXPECT_EQ(document["nodes"][0]["healthy"], false);
  EXPECT_EQ(document["nodes"][0]["last_error"], "refused");
  EXPECT_FALSE(document.contains("query"));
}

TEST_F(RestApiTest, AProbeThatCannotGetThroughSaysSo) {
  const auto document = nlohmann::json::parse(call("GET", "/api/v1/status?probe=1").body);
  EXPECT_EQ(document["query"]["ok"], false);
  EXPECT_NE(document["query"]["error"], "");
}

TEST_F(RestApiTest, AReloadThatFailsGivesTheReason) {
  EXPECT_EQ(call("POST", "/api/v1/control/reload").status, 200);
  reloaded_ = Error(Code::kConfig, "two mistakes").with("mistake", "nodes: is missing");
  const auto response = call("POST", "/api/v1/control/reload");
  EXPECT_EQ(response.status, 422);
  EXPECT_NE(response.body.find("nodes: is missing"), std::string::npos);
}

TEST_F(RestApiTest, EveryCommandReachesTheProxyWithItsArguments) {
  const std::vector<std::pair<std::string, std::string>> kCalls = {
      {"control/pause", "pause  0"},
      {"control/pause?database=my%20shop&wait=1.5", "pause my shop 1500"},
      {"control/resume?database=a+b", "resume a b"},
      {"nodes/primary1/drain?limit=2&wait=3", "drain primary1 2000 3000"},
      {"control/drain?node=primary1", "drain primary1 -1 0"},
      {"nodes/primary1/undrain", "undrain primary1"},
      {"nodes/primary1/reconnect?database=shop", "reconnect primary1 shop 0"},
      {"control/kill?database=shop", "kill shop"}};
  for (const auto& [target, said] : kCalls) {
    const auto response = call("POST", "/api/v1/" + target);
    EXPECT_EQ(response.status, 200) << target << ": " << response.body;
    EXPECT_EQ(proxy_.said, said) << target;
    EXPECT_EQ(nlohmann::json::parse(response.body)["text"], said);
  }
  EXPECT_EQ(call("POST", "/api/v1/control/shutdown").status, 200);
  EXPECT_EQ(waits_, true);
  EXPECT_EQ(call("POST", "/api/v1/control/shutdown?mode=fast").status, 200);
  EXPECT_EQ(waits_, false);
}

TEST_F(RestApiTest, WhatIsWrongWithACommandIsSaidAndNothingIsDone) {
  const std::vector<std::pair<std::string, int>> kCalls = {{"control/pause?wait=-1", 400},
                                                           {"control/pause?wait=1x", 400},
                                                           {"control/pause?wait=nan", 400},
                                                           {"control/pause?node=primary1", 400},
                                                           {"control/pause?database=nodb", 404},
                                                           {"control/kill?database=nodb", 404},
                                                           {"control/pause?databse=shop", 400},
                                                           {"nodes/primary1/pause", 400},
                                                           {"control/kill", 400},
                                                           {"control/shutdown?mode=now", 400},
                                                           {"nodes/other/undrain", 404},
                                                           {"control/frobnicate", 404},
                                                           {"control/pause/too/far", 404},
                                                           {"nodes/primary1/drain?limit=4000", 400}};
  for (const auto& [target, status] : kCalls) {
    const auto response = call("POST", "/api/v1/" + target);
    EXPECT_EQ(response.status, status) << target << ": " << response.body;
    EXPECT_EQ(proxy_.said, "") << target;
  }
  EXPECT_FALSE(waits_);
  EXPECT_EQ(call("GET", "/api/v1/control/pause").status, 405);
}

// The id and the title are about the request, not about a command line elsewhere.
TEST_F(RestApiTest, ARefusalIsOfItsKind) {
  const auto kind = [](const http::Response& answer) {
    const auto body = nlohmann::json::parse(answer.body);
    return std::to_string(answer.status) + " " + body["type"].get<std::string>() + ": " +
           body["title"].get<std::string>();
  };
  const auto refused = [&](Code code) { return kind(rest_refusal(Error(code, "text"))); };
  EXPECT_EQ(refused(Code::kIsPrimary), "409 PGB-IS-PRIMARY: the primary cannot be removed or copied anew");
  EXPECT_EQ(refused(Code::kBusy), "409 PGB-BUSY: another command is at work on this cluster");
  EXPECT_EQ(refused(Code::kNotReady), "409 PGB-CONFLICT: it cannot be done as things are");
  EXPECT_EQ(refused(Code::kTimeout), "504 PGB-TIMEOUT: the time limit passed");
  EXPECT_EQ(refused(Code::kNoNode), "404 PGB-NO-NODE: there is no such node");
  EXPECT_EQ(refused(Code::kConfig), "422 PGB-CONFIG: the configuration has mistakes");
  EXPECT_EQ(refused(Code::kSql), "500 PGB-SQL: the PostgreSQL server answered with an error");
  EXPECT_EQ(kind(call("POST", "/api/v1/control/kill")), "400 PGB-REQUEST: the request has mistakes");
  EXPECT_EQ(kind(call("POST", "/api/v1/control/pause", "look")), "403 PGB-FORBIDDEN: whoever asks may not do this");
  EXPECT_EQ(kind(call("GET", "/api/v1/control/pause")), "405 PGB-METHOD: this path takes other methods");
  EXPECT_EQ(kind(call("GET", "/api/v1/pools", "")), "401 PGB-AUTH: authentication failed");
}

TEST_F(RestApiTest, ListsAndTheirRows) {
  const auto get = [this](const char* what) {
    return nlohmann::json::parse(call("GET", std::string("/api/v1/") + what).body);
  };
  EXPECT_EQ(get("pools")["pools"][0]["waiting"], 5);
  EXPECT_EQ(get("clients")["clients"].size(), 2u);
  EXPECT_EQ(get("servers")["servers"].size(), 3u);
  const auto routes = get("routes");
  EXPECT_EQ(routes["routes"][0]["reason"], "it writes");
  ASSERT_EQ(routes["verdicts"].size(), 2u);
  EXPECT_EQ(routes["verdicts"][0]["verdict"], "writes");
  EXPECT_EQ(routes["verdicts"][0]["requests"], 4);
  EXPECT_EQ(routes["verdicts"][1]["routes"][0]["reason"], "it writes");
  EXPECT_EQ(get("status")["paused_databases"][0], "shop");
  EXPECT_EQ(get("control")["commands"].size(), commands().size());
}

}  // namespace
}  // namespace pgb::control
