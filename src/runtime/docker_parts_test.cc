// What needs no engine: the tar writer, the Engine's streams and sentences, what a container is made with.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "os/file.h"
#include "os/subprocess.h"
#include "os/test_dir.h"
#include "runtime/docker_balancer_image.h"
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
