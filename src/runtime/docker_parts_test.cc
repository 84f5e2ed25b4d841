// What needs no engine: the tar writer, the search for the engine, the Engine's streams and sentences.
#include <gtest/gtest.h>
#include <unistd.h>

#include <mutex>
#include <nlohmann/json.hpp>

#include "http/server.h"
#include "os/file.h"
#include "os/subprocess.h"
#include "os/test_dir.h"
#include "pgwire/digest.h"
#include "runtime/docker_auth.h"
#include "runtime/docker_balancer_image.h"
#include "runtime/docker_connect.h"
#include "runtime/docker_endpoint.h"
#include "runtime/docker_error.h"
#include "runtime/docker_preflight.h"
#include "runtime/docker_sha256.h"
#include "runtime/docker_spec.h"
#include "runtime/docker_text.h"
#include "runtime/tar.h"

namespace pgb::runtime {
namespace {

Deadline soon() { return Deadline::after(std::chrono::seconds(20)); }

std::string run_tar(const std::vector<std::string>& arguments) {
  os::SpawnOptions options;
  options.argv = {"tar"};
  options.argv.insert(options.argv.end(), arguments.begin(), arguments.end());
  auto result = os::run(options, soon());
  EXPECT_TRUE(result.ok() && result->exit_code == 0) << (result.ok() ? result->err : result.error().message);
  return result.ok() ? result->out : "";
}

TEST(Tar, TheTarProgramReadsWhatWeWrite) {
  os::TestDir dir;
  TarWriter tar;
  std::string long_name = "a" + std::string(98, 'd') + "/" + std::string(99, 'f');
  ASSERT_TRUE(tar.add_dir("pgbalancer", 0755).ok());
  ASSERT_TRUE(tar.add_file("pgbalancer/agent.json", "{\"x\": 1}", 0600).ok());
  ASSERT_TRUE(tar.add_file("pgbalancer/block", std::string(512, 'b'), 0755).ok());
  ASSERT_TRUE(tar.add_file("pgbalancer/empty", "", 0644).ok());
  ASSERT_TRUE(tar.add_file(long_name, "long", 0600).ok());
  std::string bytes = tar.finish();
  EXPECT_EQ(bytes.size() % 512, 0u);
  ASSERT_TRUE(os::write_file_atomic(dir.path + "/t.tar", bytes, 0600).ok());
  std::string listing = run_tar({"-tvf", dir.path + "/t.tar", "--numeric-owner"});
  EXPECT_NE(listing.find("drwxr-xr-x 0/0"), std::string::npos) << listing;
  EXPECT_NE(listing.find("-rw------- 0/0"), std::string::npos) << listing;
  EXPECT_NE(listing.find("-rwxr-xr-x 0/0"), std::string::npos) << listing;
  run_tar({"-xf", dir.path + "/t.tar", "-C", dir.path, "--no-same-owner"});
  EXPECT_EQ(os::read_file(dir.path + "/pgbalancer/agent.json").value(), "{\"x\": 1}");
  EXPECT_EQ(os::read_file(dir.path + "/pgbalancer/block").value(), std::string(512, 'b'));
  EXPECT_EQ(os::read_file(dir.path + "/pgbalancer/empty").value(), "");
  EXPECT_EQ(os::read_file(dir.path + "/" + long_name).value(), "long");
}

TEST(Tar, RefusesNamesThatLeaveTheDirectoryOrDoNotFit) {
  for (const std::string& name :
       {std::string(), std::string("/etc/passwd"), std::string("../x"), std::string("a/../b"), std::string("a//b"),
        std::string("./a"), std::string("a\0b", 3), std::string(101, 'n'), std::string(200, 'p') + "/n"}) {
    TarWriter tar;
    EXPECT_FALSE(tar.add_file(name, "x", 0600).ok()) << name;
    EXPECT_EQ(tar.finish().size(), 1024u);  // nothing but the end mark
  }
}

TEST(Sha256, IsThatOfTheStandard) {
  EXPECT_EQ(sha256_hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

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

TEST(DockerText, TakesLogsOutOfFramesAndStamps) {
  const auto plain = [](const std::string& stream) {
    std::string last;
    return without_stamps(stream, last);
  };
  auto frame = [](char channel, const std::string& text) {
    std::string head(8, '\0');
    head[0] = channel;
    head[7] = static_cast<char>(text.size());
    return head + text;
  };
  EXPECT_EQ(plain(frame(1, "out\n") + frame(2, "err\n") + frame(1, "")), "out\nerr\n");
  EXPECT_EQ(plain(frame(1, "out\n") + frame(2, "cut off").substr(0, 11)), "out\ncut");
  EXPECT_EQ(plain(frame(1, "out\n") + std::string("\1\0\0", 3)), "out\n");
  EXPECT_EQ(plain("a terminal's text\n"), "a terminal's text\n");
  EXPECT_EQ(plain("short"), "short");
  EXPECT_EQ(plain(""), "");
  EXPECT_EQ(plain(std::string("\1\0\0\0\xff\xff\xff\xff", 8) + "x"), "x");  // a length that is not there

  const std::string one = "2026-01-31T12:00:00.100000000Z", two = "2026-01-31T12:00:00.200000000Z";
  std::string last;
  const std::string stream = frame(1, one + " a\n") + frame(2, two + " b\n") + frame(2, two + " 2 c\n");
  EXPECT_EQ(without_stamps(stream, last), "a\nb\n2 c\n");
  EXPECT_EQ(last, two);
  last = one;
  EXPECT_EQ(without_stamps(stream, last), "b\n2 c\n");  // what was seen already is not told again
  EXPECT_EQ(without_stamps(stream, last), "");
  EXPECT_EQ(last, two);
  EXPECT_EQ(unix_time(one), "1769860800.100000000");
  EXPECT_EQ(unix_time("yesterday"), "");
}

TEST(DockerText, EscapesAndSplits) {
  EXPECT_EQ(url_escape("a b/c?{\"=&%"), "a%20b%2Fc%3F%7B%22%3D%26%25");
  EXPECT_EQ(split_reference("postgres"), (std::pair<std::string, std::string>("postgres", "latest")));
  EXPECT_EQ(split_reference("r:5000/x"), (std::pair<std::string, std::string>("r:5000/x", "latest")));
  EXPECT_EQ(split_reference("r:5000/x:1"), (std::pair<std::string, std::string>("r:5000/x", "1")));
  EXPECT_EQ(split_reference("x@sha256:ab").second, "");
  EXPECT_EQ(lesser_api("1.44", "1.5"), "1.5");
  EXPECT_EQ(lesser_api("1.44", "x"), "");
}

TEST(DockerError, TheEnginesSentenceDecidesTheCode) {
  struct Case {
    int status;
    const char* sentence;
    Code code;
  };
  for (const Case& c : {
           Case{500, "write /var/lib/x: no space left on device", Code::kDiskFull},
           Case{500, "driver failed …: Bind for 127.0.0.1:80 failed: port is already allocated", Code::kPortInUse},
           Case{500, "listen tcp4 127.0.0.1:80: bind: address already in use", Code::kPortInUse},
           Case{403, "Pool overlaps with other one on this address space", Code::kSubnetInUse},
           Case{403, "Address already in use", Code::kSubnetInUse},
           Case{409, "Conflict. The container name \"/a\" is already in use by container \"b\".", Code::kNameInUse},
           Case{409, "network with name x already exists", Code::kNameInUse},
           Case{404, "No such image: postgres:17", Code::kImage},
           Case{404, "No such container: x", Code::kNotFound},
           Case{500, "something else", Code::kEngine},
           Case{500, "", Code::kEngine},
       }) {
    Error error = engine_error("do it", c.status, c.sentence);
    EXPECT_EQ(error.code, c.code) << c.sentence;
    EXPECT_NE(error.message.find(c.sentence), std::string::npos);
    EXPECT_EQ(error.message.rfind("do it: ", 0), 0u);
  }
}

TEST(DockerSpec, TheVolumeIsMountedWhereTheImageWouldMakeItsOwn) {
  EXPECT_EQ(data_mount({}), "/var/lib/postgresql/data");
  EXPECT_EQ(data_mount({"/var/lib/postgresql/data"}), "/var/lib/postgresql/data");
  EXPECT_EQ(data_mount({"/var/lib/postgresql"}), "/var/lib/postgresql");
  EXPECT_EQ(data_mount({"/var/lib/postgresql", "/var/lib/postgresql/data"}), "/var/lib/postgresql/data");
  EXPECT_EQ(data_mount({"/backup", "/var", "/var/lib/postgresql/datax"}), "/var/lib/postgresql/data");
}

TEST(DockerSpec, NoSecretStandsInTheSpecOfAContainer) {
  UnitSpec unit;
  unit.cluster = "demo";
  unit.name = "node1";
  unit.group = "lb1";
  unit.container_name = "demo-node1";
  unit.ip_address = "172.31.0.10";
  unit.spec_hash = "h";
  unit.ports = {{5432, 5433}, {8008, 0}};
  unit.bind_address = "127.0.0.2";
  unit.files = {{"agent.json", "{\"password\": \"geheim\"}"}};
  std::string text = container_spec(unit, "postgres:17", "net", "/var/lib/postgresql/data");
  EXPECT_EQ(text.find("geheim"), std::string::npos);
  auto spec = nlohmann::json::parse(text);
  EXPECT_EQ(spec["Image"], "postgres:17");
  EXPECT_EQ(spec["Entrypoint"][0], "/pgbalancer/pgbalancer_agent");
  EXPECT_EQ(spec["HostConfig"]["PortBindings"]["5432/tcp"][0]["HostIp"], "127.0.0.2");
  EXPECT_EQ(spec["HostConfig"]["PortBindings"]["5432/tcp"][0]["HostPort"], "5433");
  EXPECT_EQ(spec["HostConfig"]["PortBindings"]["8008/tcp"][0]["HostPort"], "");
  EXPECT_EQ(spec["HostConfig"]["Mounts"][0]["Source"], "demo_node1_data");
  EXPECT_EQ(spec["HostConfig"]["RestartPolicy"]["Name"], "unless-stopped");
  EXPECT_EQ(spec["Healthcheck"]["Test"].size(), 5u);
  EXPECT_EQ(spec["NetworkingConfig"]["EndpointsConfig"]["net"]["IPAMConfig"]["IPv4Address"], "172.31.0.10");
  EXPECT_EQ(spec["NetworkingConfig"]["EndpointsConfig"]["net"]["Aliases"].size(), 2u);
  EXPECT_EQ(spec["Labels"]["io.pgbalancer.unit"], "node1");
}

TEST(DockerSpec, OnlyABalancerThatKeepsSomethingHasAVolume) {
  UnitSpec unit;
  unit.kind = UnitSpec::Kind::kBalancer;
  unit.cluster = "demo";
  unit.name = "lb1";
  auto mounts = [&](const std::string& at) {
    return nlohmann::json::parse(container_spec(unit, "pgbalancer:x", "net", at))["HostConfig"].value(
        "Mounts", nlohmann::json::array());
  };
  EXPECT_TRUE(mounts("").empty());
  ASSERT_EQ(mounts("/pgbalancer/store").size(), 1u);
  EXPECT_EQ(mounts("/pgbalancer/store")[0]["Source"], "demo_lb1_data");
  EXPECT_EQ(mounts("/pgbalancer/store")[0]["Target"], "/pgbalancer/store");
}

TEST(DockerSpec, AFileThatWouldLeaveTheUnitsDirectoryIsRefused) {
  UnitSpec unit;
  unit.files = {{"../etc/passwd", "x"}};
  EXPECT_FALSE(unit_archive(unit, "").ok());
  unit.files = {{"init/0001-init.sql", "x"}, {"init/0002.sql", "y"}};
  EXPECT_TRUE(unit_archive(unit, "agent").ok());
}

TEST(DockerPreflight, FindsOverlapsAndRoutes) {
  auto net = [](const char* text) { return *model::parse_subnet(text); };
  EXPECT_TRUE(overlap(net("172.31.0.0/16"), net("172.31.4.0/24")));
  EXPECT_TRUE(overlap(net("172.31.4.0/24"), net("172.16.0.0/12")));
  EXPECT_FALSE(overlap(net("172.31.0.0/16"), net("172.30.0.0/16")));
  auto routes = parse_routes(
      "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"
      "eth0\t00000000\t0101A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
      "eth0\t0001A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\nbroken\n");
  ASSERT_EQ(routes.size(), 1u);
  EXPECT_EQ(routes[0].interface, "eth0");
  EXPECT_EQ(model::format_ipv4(routes[0].subnet.base), "192.168.1.0");
  EXPECT_EQ(routes[0].subnet.prefix, 24);
}

TEST(BalancerImage, IsNamedByItsProgram) {
  EXPECT_EQ(balancer_image_name("abc"), "pgbalancer:ba7816bf8f01");
  EXPECT_NE(balancer_image_name("abd"), balancer_image_name("abc"));
  EXPECT_TRUE(is_dynamic_elf(os::read_file("/bin/sh").value()));
  EXPECT_FALSE(is_dynamic_elf("#!/bin/sh"));
  EXPECT_FALSE(is_dynamic_elf(os::read_file("/bin/sh").value().substr(0, 64)));
}

}  // namespace
}  // namespace pgb::runtime
