#include "cluster/contradictions.h"

#include <gtest/gtest.h>

#include "model/topology_json.h"

namespace pgb::cluster {
namespace {

model::Cluster with(const std::string& members) {
  model::Parsed parsed = model::parse_cluster("{\"cluster_name\": \"demo\"" + members + "}");
  EXPECT_TRUE(parsed.mistakes.empty());
  return std::move(parsed.cluster);
}

UnitMap units(runtime::UnitState state) {
  UnitMap units;
  units["primary1"].state = state;
  return units;
}

// What is said to the file `now` of a cluster that was made from `before`; empty: nothing.
std::string said(const std::string& before, const std::string& now, runtime::UnitState state) {
  const Status checked = check_against_record(with(now), with(before), units(state));
  if (checked.ok()) return "";
  std::string text = checked.error().message;
  for (const auto& [label, value] : checked.error().details) text += "\n" + label + ": " + value;
  EXPECT_NE(text.find("changed: nothing"), std::string::npos) << text;
  return text;
}

constexpr char kOn[] = R"(, "ha": {"failover": true})";
constexpr char kOff[] = R"(, "ha": {"failover": false})";
constexpr char kEtcd[] = R"(, "dcs": {"etcd": ["http://10.0.0.1:2379"]})";
constexpr auto kRunning = runtime::UnitState::kRunning;
constexpr auto kStopped = runtime::UnitState::kStopped;

TEST(Contradictions, TheSameFileIsNone) {
  for (const char* file : {"", kOn, kOff, kEtcd}) EXPECT_EQ(said(file, file, kRunning), "") << file;
}

TEST(Contradictions, FailoverComesToAClusterThatIsStopped) {
  EXPECT_NE(said(kOff, kOn, kRunning).find("pgbalancer_cluster stop, then init"), std::string::npos);
  EXPECT_EQ(said(kOff, kOn, kStopped), "");
}

TEST(Contradictions, FailoverIsNotTakenAway) {
  for (const auto state : {kRunning, kStopped}) {
    EXPECT_NE(said(kOn, kOff, state).find("the agents choose the primary by now"), std::string::npos);
  }
}

TEST(Contradictions, TheLeaseStoreIsNotChangedUnderAgentsThatRun) {
  EXPECT_NE(said("", kEtcd, kRunning).find("\"dcs\" has changed"), std::string::npos);
  EXPECT_NE(said(kEtcd, "", kRunning).find("\"dcs\" has changed"), std::string::npos);
  EXPECT_EQ(said("", kEtcd, kStopped), "");
  EXPECT_EQ(said(kOff, std::string(kOff) + kEtcd, kRunning), "") << "nobody uses it";
}

TEST(Contradictions, ALeaseIsNotChangedUnderAgentsThatGoByIt) {
  const std::string other = R"(, "ha": {"failover": true, "lease": 8})";
  EXPECT_NE(said(kOn, other, kRunning).find("\"lease\""), std::string::npos);
  EXPECT_NE(said(other, kOn, kRunning).find("pgbalancer_cluster stop, then init"), std::string::npos);
  EXPECT_EQ(said(other, other, kRunning), "");
  EXPECT_EQ(said(kOn, other, kStopped), "");
}

}  // namespace
}  // namespace pgb::cluster
