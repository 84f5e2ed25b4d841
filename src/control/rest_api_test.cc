#include "control/rest_api.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "control/fake_proxy.h"

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
  EXPECT_EQ(document["nodes"][0]["role"], "primary");
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

TEST_F(RestApiTest, ListsAndTheirRows) {
  const auto get = [this](const char* what) {
    return nlohmann::json::parse(call("GET", std::string("/api/v1/") + what).body);
  };
  EXPECT_EQ(get("pools")["pools"][0]["waiting"], 5);
  EXPECT_EQ(get("clients")["clients"].size(), 2u);
  EXPECT_EQ(get("servers")["servers"].size(), 3u);
  EXPECT_EQ(get("routes")["routes"][0]["reason"], "it writes");
  EXPECT_EQ(get("status")["paused_databases"][0], "shop");
  EXPECT_EQ(get("control")["commands"].size(), commands().size());
}

}  // namespace
}  // namespace pgb::control
