// Where the engine is, and with which login it asks a registry: as the docker command finds them.
#include "runtime/docker_endpoint.h"

#include <gtest/gtest.h>

#include <chrono>
#include <map>
#include <nlohmann/json.hpp>

#include "os/file.h"
#include "os/test_dir.h"
#include "pgwire/digest.h"
#include "runtime/docker_auth.h"
#include "runtime/docker_connect.h"
#include "runtime/docker_sha256.h"

namespace pgb::runtime {
namespace {

Deadline soon() { return Deadline::after(std::chrono::seconds(20)); }

struct FakeHome {
  os::TestDir dir;
  std::map<std::string, std::string> variables;

  FakeHome() { variables["HOME"] = dir.path; }
  DockerEnvironment environment() const {
    DockerEnvironment result;
    result.variable = [this](const std::string& name) -> std::optional<std::string> {
      auto it = variables.find(name);
      if (it == variables.end()) return std::nullopt;
      return it->second;
    };
    result.default_socket = dir.path + "/default.sock";
    return result;
  }
  DockerSearch search() const { return find_docker_endpoints(environment()); }
  void write(const std::string& path, const std::string& content) const {
    std::string whole = dir.path + "/" + path;
    EXPECT_TRUE(os::make_dirs(whole.substr(0, whole.rfind('/')), 0700).ok());
    EXPECT_TRUE(os::write_file_atomic(whole, content, 0600).ok());
  }
  void add_context(const std::string& name, const std::string& host) const {
    nlohmann::json meta = {{"Name", name}, {"Endpoints", {{"docker", {{"Host", host}}}}}};
    write(".docker/contexts/meta/" + sha256_hex(name) + "/meta.json", meta.dump());
  }
};

TEST(DockerEndpoint, TheDefaultSocketIfNothingIsSaid) {
  FakeHome home;
  auto search = home.search();
  ASSERT_EQ(search.candidates.size(), 1u);
  EXPECT_EQ(search.candidates[0].endpoint.path, home.dir.path + "/default.sock");
  EXPECT_EQ(search.candidates[0].source, "default");
}

TEST(DockerEndpoint, DockerHostAloneIfItIsSet) {
  FakeHome home;
  home.add_context("colima", "unix:///colima.sock");
  home.write(".docker/config.json", R"({"currentContext": "colima"})");
  home.variables["DOCKER_HOST"] = "tcp://127.0.0.1:2375";
  auto search = home.search();
  ASSERT_EQ(search.candidates.size(), 1u);
  EXPECT_EQ(search.candidates[0].endpoint.str(), "tcp://127.0.0.1:2375");
  EXPECT_EQ(search.candidates[0].source, "DOCKER_HOST");
}

TEST(DockerEndpoint, TlsWithTheCertificatesOfTheEnvironment) {
  FakeHome home;
  home.write("certs/ca.pem", "x");
  home.write("certs/cert.pem", "x");
  home.write("certs/key.pem", "x");
  home.variables = {{"DOCKER_HOST", "tcp://127.0.0.1:2376"},
                    {"DOCKER_TLS_VERIFY", "1"},
                    {"DOCKER_CERT_PATH", home.dir.path + "/certs"}};
  auto search = home.search();
  ASSERT_EQ(search.candidates.size(), 1u);
  EXPECT_EQ(search.candidates[0].endpoint.kind, http::Endpoint::Kind::kTls);
  EXPECT_EQ(search.candidates[0].endpoint.key_file, home.dir.path + "/certs/key.pem");
}

TEST(DockerEndpoint, TheCurrentContextComesBeforeTheDefault) {
  FakeHome home;
  home.add_context("colima", "unix:///colima.sock");
  home.add_context("other", "unix:///other.sock");
  home.write(".docker/config.json", R"({"currentContext": "colima"})");
  auto search = home.search();
  ASSERT_EQ(search.candidates.size(), 2u);
  EXPECT_EQ(search.candidates[0].endpoint.path, "/colima.sock");
  EXPECT_NE(search.candidates[0].source.find("context \"colima\""), std::string::npos);
  EXPECT_EQ(search.candidates[1].source, "default");
  home.variables["DOCKER_CONTEXT"] = "other";
  EXPECT_EQ(home.search().candidates[0].endpoint.path, "/other.sock");
  home.variables["DOCKER_CONTEXT"] = "default";
  EXPECT_EQ(home.search().candidates.size(), 1u);
}

TEST(DockerEndpoint, SaysWhatItCannotUse) {
  FakeHome home;
  home.add_context("far", "ssh://user@host");
  home.write(".docker/config.json", R"({"currentContext": "far"})");
  auto search = home.search();
  EXPECT_EQ(search.candidates.size(), 1u);
  ASSERT_EQ(search.unusable.size(), 1u);
  EXPECT_NE(search.unusable[0].find("ssh://user@host"), std::string::npos);
  home.write(".docker/config.json", R"({"currentContext": "absent"})");
  EXPECT_EQ(home.search().unusable.size(), 1u);
  for (const char* broken : {"", "{", "[]", R"({"currentContext": 7})"}) {
    home.write(".docker/config.json", broken);
    EXPECT_EQ(home.search().candidates.size(), 1u) << broken;
  }
}

TEST(DockerConnect, NamesEachPlaceThatItTried) {
  FakeHome home;
  home.add_context("colima", "unix://" + home.dir.path + "/colima.sock");
  home.write(".docker/config.json", R"({"currentContext": "colima"})");
  auto client = connect_to_engine(home.environment(), nullptr);
  ASSERT_FALSE(client.ok());
  EXPECT_EQ(client.error().code, Code::kNoEngine);
  std::string tried, advice;
  for (const auto& [label, text] : client.error().details) (label == "tried" ? tried : advice) += text + "\n";
  EXPECT_NE(tried.find("colima.sock (context \"colima\""), std::string::npos) << tried;
  EXPECT_NE(tried.find("default.sock (default): no such file"), std::string::npos) << tried;
  EXPECT_NE(advice.find("systemctl start docker"), std::string::npos);
  EXPECT_NE(advice.find("--runtime process"), std::string::npos);
}

TEST(DockerAuth, ImagesAreOfTheRegistryTheyName) {
  EXPECT_EQ(registry_of("postgres:17"), "https://index.docker.io/v1/");
  EXPECT_EQ(registry_of("library/postgres"), "https://index.docker.io/v1/");
  EXPECT_EQ(registry_of("docker.io/library/postgres"), "https://index.docker.io/v1/");
  EXPECT_EQ(registry_of("registry:5000/x/y:1"), "registry:5000");
  EXPECT_EQ(registry_of("ghcr.example/x"), "ghcr.example");
  EXPECT_EQ(registry_of("localhost/x"), "localhost");
}

TEST(DockerAuth, LoginsAreThoseOfTheDockerCommand) {
  FakeHome home;
  const auto kept = [&home](const std::string& registry) {
    auto auth = registry_auth(home.environment(), registry, soon());
    EXPECT_TRUE(auth.ok()) << auth.error().message;
    return auth.ok() && *auth ? nlohmann::json::parse(*pgwire::from_base64((*auth)->reveal())) : nlohmann::json();
  };
  EXPECT_TRUE(kept("r:5000").is_null());  // no file
  const nlohmann::json config = {{"auths",
                                  {{"r:5000", {{"auth", pgwire::base64("ann:a:b")}}},
                                   {"https://s:5000", {{"identitytoken", "tick"}}},
                                   {"t:5000", nlohmann::json::object()}}},
                                 {"credHelpers", {{"h:5000", "pgb-test-absent"}}}};
  home.write(".docker/config.json", config.dump());
  EXPECT_EQ(kept("r:5000"), (nlohmann::json{{"username", "ann"}, {"password", "a:b"}, {"serveraddress", "r:5000"}}));
  EXPECT_EQ(kept("s:5000")["identitytoken"], "tick");
  EXPECT_TRUE(kept("t:5000").is_null());
  EXPECT_TRUE(kept("u:5000").is_null());
  EXPECT_EQ(registry_auth(home.environment(), "h:5000", soon()).error().code, Code::kNotFound);
  home.write(".docker/config.json", "{");
  EXPECT_TRUE(kept("r:5000").is_null());
}

}  // namespace
}  // namespace pgb::runtime
