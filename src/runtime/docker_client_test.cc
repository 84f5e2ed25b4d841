// The client at engines of its own making: versions, answers of any shape, a pull's stream.
#include "runtime/docker_client.h"

#include <gtest/gtest.h>

#include <mutex>

#include "http/server.h"

namespace pgb::runtime {
namespace {

Deadline soon() { return Deadline::after(std::chrono::seconds(20)); }

// An engine of one's own over TCP.
struct FakeEngine {
  std::unique_ptr<http::Server> server;
  explicit FakeEngine(http::Server::Handler handler)
      : server(std::move(http::Server::start("127.0.0.1", 0, std::move(handler))).value()) {}
  http::Endpoint endpoint() const {
    return http::Endpoint::parse("tcp://127.0.0.1:" + std::to_string(server->port())).value();
  }
};

http::Response answer(int status, const std::string& body) {
  http::Response response;
  response.status = status;
  response.body = body;
  return response;
}

http::Server::Handler engine(const std::string& api, http::Server::Handler rest) {
  return [api, rest = std::move(rest)](const http::Request& request) {
    if (request.target == "/_ping") {
      http::Response response = answer(200, "OK");
      response.headers["api-version"] = api;
      return response;
    }
    if (request.target.find("/version") != std::string::npos) return answer(200, R"({"Version": "99.1"})");
    return rest(request);
  };
}

TEST(DockerClient, SpeaksTheLesserOfTheTwoVersions) {
  for (auto [theirs, spoken] : {std::pair("1.41", "1.41"), {"1.52", "1.44"}, {"1.9", "1.9"}}) {
    FakeEngine fake(engine(theirs, [](const http::Request&) { return answer(500, ""); }));
    auto client = DockerClient::connect(fake.endpoint(), nullptr, soon());
    ASSERT_TRUE(client.ok()) << client.error().message;
    EXPECT_EQ(client->engine().api, spoken);
    EXPECT_EQ(client->engine().version, "99.1");
  }
  FakeEngine web([](const http::Request&) { return answer(200, "<html>"); });
  EXPECT_EQ(DockerClient::connect(web.endpoint(), nullptr, soon()).error().code, Code::kEngine);
}

TEST(DockerClient, SurvivesAnswersOfAnyShape) {
  for (const char* body : {"", "null", "7", "\"x\"", "[null, 7, {}]", "{\"Volumes\": 7}", "[{\"Ports\": {\"a\": 1}}]",
                           "[{\"Names\": [7], \"Labels\": [], \"IPAM\": {\"Config\": [7]}}]", "\xff\xfe"}) {
    FakeEngine fake(engine("1.41", [body](const http::Request&) { return answer(200, body); }));
    auto client = DockerClient::connect(fake.endpoint(), nullptr, soon());
    ASSERT_TRUE(client.ok());
    EXPECT_TRUE(client->list_containers({}, soon()).ok());
    EXPECT_TRUE(client->list_networks({}, soon()).ok());
    EXPECT_TRUE(client->list_volumes({}, soon()).ok());
    EXPECT_TRUE(client->list_images({}, soon()).ok());
    EXPECT_TRUE(client->inspect_image("x", soon()).ok());
    EXPECT_TRUE(client->inspect_network("x", soon()).ok());
    EXPECT_FALSE(client->create_container("x", "{}", soon()).ok());  // tells no id
  }
}

TEST(DockerClient, PullTellsOfBytesAndOfTheErrorInTheStream) {
  std::string stream =
      "{\"status\":\"Downloading\",\"id\":\"a\",\"progressDetail\":{\"current\":43000000,\"total\":100000000}}\r\n"
      "{\"status\":\"Downloading\",\"id\":\"b\",\"progressDetail\":{\"current\":1,\"total\":54000000}}\r\n"
      "{\"errorDetail\":{\"message\":\"m\"},\"error\":\"write /x: no space left on device\"}\r\n";
  std::mutex mutex;  // the engine answers in threads of its own
  std::string asked, auth_header;
  FakeEngine fake(engine("1.41", [&](const http::Request& request) {
    const std::lock_guard lock(mutex);
    asked = request.target;
    const auto auth = request.headers.find("x-registry-auth");
    if (auth != request.headers.end()) auth_header = auth->second;
    return answer(200, stream);
  }));
  auto client = DockerClient::connect(fake.endpoint(), nullptr, soon());
  ASSERT_TRUE(client.ok());
  std::vector<std::string> told;
  auto status = client->pull_image(
      "registry:5000/a/b:17", Secret("c2VjcmV0"), [&](const std::string& text) { told.push_back(text); }, soon());
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code, Code::kDiskFull);
  EXPECT_EQ(told, std::vector<std::string>{"43 / 100 MB"});  // the second comes too soon after
  const std::lock_guard lock(mutex);
  EXPECT_EQ(auth_header, "c2VjcmV0");
  EXPECT_NE(asked.find("fromImage=registry%3A5000%2Fa%2Fb&tag=17"), std::string::npos) << asked;
}

}  // namespace
}  // namespace pgb::runtime
