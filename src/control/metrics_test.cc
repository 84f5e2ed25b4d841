#include "control/metrics.h"

#include <gtest/gtest.h>

#include <sstream>

#include "control/fake_proxy.h"
#include "control/metric_text.h"

namespace pgb::control {
namespace {

TEST(MetricText, LabelsAreEscapedAndHistogramsAddUp) {
  MetricText text(true);
  text.begin(MetricText::Type::kHistogram, "x_seconds", "It takes \"time\".");
  proxy::Latency latency;
  latency.note(100);  // belongs to the class whose bound it is
  latency.note(101);
  latency.note(99'000'000);
  text.add(latency, {{"name", "a\"b\\c\nd"}});
  const std::string out = text.finish();
  const std::string label = R"(name="a\"b\\c\nd")";
  EXPECT_NE(out.find("# HELP x_seconds It takes \\\"time\\\".\n# TYPE x_seconds histogram\n# UNIT x_seconds seconds\n"),
            std::string::npos)
      << out;
  for (const char* line : {",le=\"0.0001\"} 1\n", ",le=\"0.00025\"} 2\n", ",le=\"1.0\"} 2\n", ",le=\"+Inf\"} 3\n"}) {
    EXPECT_NE(out.find("x_seconds_bucket{" + label + line), std::string::npos) << line << out;
  }
  EXPECT_NE(out.find("x_seconds_sum{" + label + "} 99.000201\nx_seconds_count{" + label + "} 3\n# EOF\n"),
            std::string::npos)
      << out;
}

TEST(MetricText, ACounterIsNamedAsTheFormatWantsIt) {
  for (const bool openmetrics : {false, true}) {
    MetricText text(openmetrics);
    text.one(MetricText::Type::kCounter, "x", "X.", 1.5);
    const std::string out = text.finish();
    EXPECT_NE(
        out.find(openmetrics ? "# TYPE x counter\nx_total 1.5\n# EOF\n" : "# TYPE x_total counter\nx_total 1.5\n"),
        std::string::npos)
        << out;
  }
}

size_t lines_with(const std::string& text, const std::string& part) {
  std::istringstream in(text);
  size_t count = 0;
  for (std::string line; std::getline(in, line);) count += line.find(part) != std::string::npos ? 1 : 0;
  return count;
}

class ManyDatabases final : public FakeProxy {
 public:
  std::vector<proxy::TrafficRow> traffic() const override {
    std::vector<proxy::TrafficRow> rows;
    for (uint64_t i = 0; i < 1000; ++i) {
      proxy::TrafficRow row;
      row.database = "db" + std::to_string(i);
      row.user = "user";
      row.clients = 1;
      row.traffic.requests = i;
      rows.push_back(row);
    }
    return rows;
  }
};

TEST(Metrics, TheNumberOfSeriesIsBoundedAndNothingIsLost) {
  const std::string text = metrics_of(ManyDatabases(), true);
  EXPECT_EQ(lines_with(text, "pgbalancer_database_requests_total{"), 101u);
  EXPECT_EQ(lines_with(text, "pgbalancer_pool_clients{"), 201u);
  EXPECT_EQ(lines_with(text, "pgbalancer_database_requests_total{database=\"db999\"} 999"), 1u);
  EXPECT_EQ(lines_with(text, "pgbalancer_database_requests_total{database=\"(other)\"} 404550"), 1u) << "0 + … + 899";
  EXPECT_EQ(lines_with(text, "pgbalancer_pool_clients{database=\"(other)\",user=\"(other)\"} 800"), 1u);
}

TEST(Metrics, TellWhatTheProxyTells) {
  const std::string text = metrics_of(FakeProxy(), false);
  for (const char* line : {"pgbalancer_clients 3", "pgbalancer_node_up{node=\"primary1\"} 0",
                           "pgbalancer_node_primary{node=\"primary1\"} 1",
                           "pgbalancer_pool_servers{database=\"shop\",user=\"alice\",state=\"idle\"} 3",
                           "pgbalancer_pool_waiting_clients{database=\"shop\",user=\"alice\"} 2",
                           "pgbalancer_database_requests_total{database=\"shop\"} 120",
                           "pgbalancer_node_request_duration_seconds_bucket{node=\"primary1\",le=\"10.0\"} 1",
                           "pgbalancer_node_request_duration_seconds_count{node=\"primary1\"} 2",
                           "pgbalancer_routed_requests_total{node=\"primary1\",reason=\"it writes\"} 7",
                           "pgbalancer_paused_databases 1"}) {
    EXPECT_EQ(lines_with(text, line), 1u) << line << "\n" << text;
  }
}

}  // namespace
}  // namespace pgb::control
