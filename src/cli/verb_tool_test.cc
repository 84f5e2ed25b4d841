#include <gtest/gtest.h>

#include <cstdlib>

#include "cli/context.h"
#include "model/topology_json.h"
#include "os/file.h"
#include "os/test_dir.h"
#include "runtime/fake_runtime.h"

namespace pgb::cli {
namespace {

// A file that says nothing of failover means what its cluster was made with.
TEST(Validate, JudgesTheFileOfAClusterByItsRecord) {
  os::TestDir dir;
  const std::string file = dir.path + "/pgbalancer_cluster.json";
  const std::string text = R"({"cluster_name":"shop","durability":"quorum"})";
  ASSERT_TRUE(os::write_file_atomic(file, text, 0644).ok());
  ASSERT_EQ(::setenv("PGBALANCER_STATE_DIR", dir.path.c_str(), 1), 0);
  const auto warnings = [&] {
    const auto line = parse_command_line({"validate", "--config", file});
    EXPECT_TRUE(line) << line.error().message;
    Context context(*line, nullptr);
    ::testing::internal::CaptureStdout();
    ::testing::internal::CaptureStderr();
    EXPECT_EQ(verb_validate(context), 0);
    (void)::testing::internal::GetCapturedStdout();
    return ::testing::internal::GetCapturedStderr();
  };
  EXPECT_EQ(warnings().find("not in effect"), std::string::npos) << "it is to be made with failover";
  const auto made = model::parse_cluster(text, {false});
  ASSERT_TRUE(made.mistakes.empty());
  cluster::Session session;
  session.state_dir = dir.path;
  session.wanted.cluster_name = "shop";
  session.runtime = std::make_unique<runtime::FakeRuntime>();
  ASSERT_TRUE(session.record(made.cluster).ok());
  EXPECT_NE(warnings().find("durability: is not in effect"), std::string::npos);
  ::unsetenv("PGBALANCER_STATE_DIR");
}

}  // namespace
}  // namespace pgb::cli
