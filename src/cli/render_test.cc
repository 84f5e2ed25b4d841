#include <gtest/gtest.h>

#include <sstream>

#include "cli/report.h"
#include "cli/status_view.h"

namespace pgb::cli {
namespace {

cluster::StatusDocument document() {
  cluster::NodeStatus primary;
  primary.name = "primary1";
  primary.role = "primary";
  primary.state = "accepting";
  primary.source = "server";
  primary.timeline = 1;
  cluster::NodeStatus replica = primary;
  replica.name = std::string(63, 'r');
  replica.role = "replica";
  replica.state = "not_streaming";
  replica.reason = "its slot was lost: the primary no longer has the WAL it needs; it must be copied anew";
  replica.lag_bytes = 123456789;
  replica.lag_ms = 1234567;
  cluster::BalancerStatus balancer;
  balancer.name = std::string(63, 'b');
  balancer.state = "serving";
  balancer.address = "127.0.0.1";
  balancer.port = 19999;
  balancer.query_ok = true;
  balancer.query_ms = 3;
  balancer.durability = "async";
  balancer.nodes = {primary, replica};
  cluster::StatusDocument result;
  result.cluster = std::string(63, 'c');
  result.state = "degraded";
  result.runtime = "docker";
  result.time = "2026-01-01T14:02:11.000Z";
  result.seconds = 0.041;
  result.notes = {replica.name + ": " + replica.reason};
  result.balancers = {balancer};
  return result;
}

TEST(StatusView, FitsEightyColumnsWithTheLongestNames) {
  for (const Terminal& terminal : {Terminal{false, false, false, 80}, Terminal{true, true, true, 80}}) {
    std::istringstream lines(render_status(document(), terminal, false));
    for (std::string line; std::getline(lines, line);) EXPECT_LE(columns(line), 80u) << line;
  }
}

TEST(StatusView, FitsWhateverTheServersSay) {
  cluster::StatusDocument d = document();
  d.engine = "docker 28.2 (unix://" + std::string(200, '/') + ")";
  d.seconds = 1.999;
  d.notes.push_back(std::string(300, 'w') + " \x1b[2J\nx");
  d.balancers[0].address = "255.255.255.255";
  d.balancers[0].query_ms = 9999;
  d.balancers[0].durability = "ANY 1 (\"" + std::string(200, 'r') + "\")";
  d.balancers[0].nodes[0].state = "unresponsive";
  d.balancers[0].nodes[0].role = "-";
  for (bool wide : {false, true}) {
    Terminal terminal;
    terminal.width = wide ? 120 : 80;
    const std::string text = render_status(d, terminal, wide);
    EXPECT_EQ(text.find('\x1b'), std::string::npos);
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) EXPECT_LE(columns(line), wide ? 120u : 80u) << line;
  }
}

TEST(StatusView, ANoPrimaryDocumentSaysSoFirst) {
  cluster::StatusDocument d = document();
  d.state = "no_primary";
  d.balancers[0].nodes[0].state = "down";
  const std::string text = render_status(d, Terminal{}, false);
  EXPECT_NE(text.substr(0, text.find('\n')).find("XX no primary"), std::string::npos) << text;
  EXPECT_NE(text.find("XX down"), std::string::npos);
}

TEST(StatusView, SaysTheReasonAndTheNumbers) {
  const std::string text = render_status(document(), Terminal{false, false, true, 80}, false);
  EXPECT_NE(text.find("✔ accepting"), std::string::npos) << text;
  EXPECT_NE(text.find("! not streaming"), std::string::npos);
  EXPECT_NE(text.find("copied anew"), std::string::npos);
  EXPECT_NE(text.find("117 MB"), std::string::npos);
}

TEST(StatusView, NoEscapeByteWithoutColour) {
  for (bool wide : {false, true}) {
    EXPECT_EQ(render_status(document(), Terminal{false, false, true, 80}, wide).find('\x1b'), std::string::npos);
  }
  EXPECT_NE(render_status(document(), Terminal{true, true, true, 80}, false).find('\x1b'), std::string::npos);
}

TEST(StatusView, EachStateHasItsExitCode) {
  cluster::StatusDocument d = document();
  EXPECT_EQ(status_exit_code(d), 10);
  d.state = "healthy";
  EXPECT_EQ(status_exit_code(d), 0);
  d.state = "no_primary";
  EXPECT_EQ(status_exit_code(d), 11);
  d.state = "not_created";
  EXPECT_EQ(status_exit_code(d), 12);
}

TEST(StatusView, SizesHaveUnitsApart) {
  EXPECT_EQ(size_text(88), "88 B");
  EXPECT_EQ(size_text(2048), "2 kB");
  EXPECT_EQ(size_text(61ll << 20), "61 MB");
}

TEST(Report, DetailsStandUnderTheMessageAndTheCodeLast) {
  const Error error =
      Error(Code::kPortInUse, "port 15432 is taken").with("held by", "postgres, pid 1").with("try", "a\nb");
  EXPECT_EQ(render_error(error),
            "error: port 15432 is taken\n"
            "  held by   postgres, pid 1\n"
            "  try       a\n"
            "            b\n"
            "  code      PGB-PORT-IN-USE (exit 4)   help: pgbalancer_cluster help ports\n");
}

TEST(Report, JsonHasTheSameFacts) {
  const std::string text = error_json(Error(Code::kBusy, "pid 7 \xff is at work").with("try", "later"));
  EXPECT_NE(text.find("\"code\":\"PGB-BUSY\""), std::string::npos);
  EXPECT_NE(text.find("\"exit\":8"), std::string::npos);
}

}  // namespace
}  // namespace pgb::cli
