#include "model/doubts.h"

#include <gtest/gtest.h>

namespace pgb::model {
namespace {

std::string told(const std::string& text) {
  const Parsed parsed = parse_cluster(text);
  EXPECT_TRUE(parsed.mistakes.empty()) << parsed.mistakes[0].str("f");
  Surroundings around;
  around.has_file = [](const std::string& path) { return path == "there.sql"; };
  around.has_variable = [](const std::string& name) { return name == "THERE"; };
  std::string out;
  for (const Mistake& one : doubts(parsed.cluster, text, around)) out += one.str("f") + "\n";
  return out;
}

std::string of_postgres(const std::string& members) {
  return told("{\"cluster_name\": \"demo\",\n \"postgres\": {" + members + "}}");
}

TEST(Doubts, AFileThatSaysNothingDoubtfulHasNone) {
  EXPECT_EQ(told(R"({"cluster_name": "demo"})"), "");
  EXPECT_EQ(of_postgres(R"("init_sql": ["there.sql"], "password": {"env": "THERE"}, "image": "r:5000/pg:17")"), "");
}

TEST(Doubts, EachStandsAtItsValue) {
  EXPECT_EQ(of_postgres(R"("password": "x")").rfind("f:2:27 postgres.password: ", 0), 0u);
  EXPECT_EQ(of_postgres(R"("init_sql": ["there.sql", "gone.sql"])"),
            "f:2:41 postgres.init_sql[1]: there is no file gone.sql\n");
}

TEST(Doubts, WhatCanLoseDataIsTold) {
  for (const char* name : {"fsync", "full_page_writes", "synchronous_commit", "wal_log_hints"}) {
    const std::string text = of_postgres("\"parameters\": {\"" + std::string(name) + "\": \"off\"}");
    EXPECT_NE(text.find("f:2:"), std::string::npos) << name;
    EXPECT_NE(text.find(std::string("postgres.parameters.") + name), std::string::npos) << text;
  }
  EXPECT_NE(of_postgres(R"("parameters": {"fsync": false})"), "");
  EXPECT_EQ(of_postgres(R"("parameters": {"fsync": "on"})"), "");
}

TEST(Doubts, WhatIsMissingOutsideIsTold) {
  EXPECT_NE(of_postgres(R"("password": {"env": "GONE"})").find("no variable GONE"), std::string::npos);
  EXPECT_NE(of_postgres(R"("password": {"file": "gone"})").find("no file gone"), std::string::npos);
}

TEST(Doubts, AnImageWithoutAVersionIsTold) {
  for (const char* image : {"postgres", "postgres:latest", "registry:5000/postgres"}) {
    EXPECT_NE(of_postgres("\"image\": \"" + std::string(image) + "\"").find("names no version"), std::string::npos);
  }
  EXPECT_EQ(of_postgres(R"("image": "postgres@sha256:00")"), "");
}

TEST(Doubts, WhoAsksForWhatDependsOnFailoverAndHasNoneIsTold) {
  const auto with = [](const std::string& members) { return told("{\"cluster_name\": \"demo\", " + members + "}"); };
  const std::string off = R"(, "ha": {"failover": false})";
  EXPECT_NE(with(R"("durability": "quorum")" + off).find("replication is asynchronous"), std::string::npos);
  EXPECT_NE(with(R"("durability": "strict")" + off).find("replication is asynchronous"), std::string::npos);
  EXPECT_NE(with(R"("dcs": {"etcd": ["http://10.0.0.1:2379"]})" + off).find("there is no failover"), std::string::npos);
  EXPECT_EQ(with(R"("durability": "async")" + off), "");
  EXPECT_EQ(with(R"("durability": "quorum")"), "");
  EXPECT_EQ(with(R"("dcs": {"etcd": ["http://10.0.0.1:2379"]})"), "");
}

TEST(Doubts, WhatHasNoEffectIsTold) {
  const auto with = [](const std::string& members) { return told("{\"cluster_name\": \"demo\", " + members + "}"); };
  EXPECT_NE(with(R"("ha": {"loop": 0.5})").find("ha.loop"), std::string::npos);
  EXPECT_NE(with(R"("ha": {"lag_limit": 5})").find("with durability quorum"), std::string::npos);
  EXPECT_EQ(with(R"("durability": "async", "ha": {"lag_limit": 5})"), "");
}

TEST(Doubts, QuorumInAGroupThatIsTooSmallForItIsToldToWhoAsksForIt) {
  const auto small = [](const std::string& members) {
    return told("{\"cluster_name\": \"demo\", " + members + R"("balancers": [{"replicas": [{}]}]})");
  };
  EXPECT_NE(small(R"("durability": "quorum", )").find("quorum needs two replicas"), std::string::npos);
  EXPECT_EQ(small(R"("durability": "strict", )"), "");
  EXPECT_EQ(small(R"("durability": "async", )"), "");
  EXPECT_EQ(small(""), "");
}

TEST(Doubts, GroupsThatCannotDoWhatTheyAreForAreTold) {
  const auto group = [](const std::string& members, const std::string& more = "") {
    return told("{\"cluster_name\": \"demo\"" + more + ", \"balancers\": [{" + members + "}]}");
  };
  EXPECT_NE(group(R"("replicas": [])").find("has no replica"), std::string::npos);
  EXPECT_NE(group(R"("config": {"pool_size": 500, "max_clients": 500})").find("max_connections"), std::string::npos);
  EXPECT_NE(group(R"("config": {"pools": [{"user": "a", "pool_mode": "session"}, {"user": "b", "pool_size": 500}]})")
                .find("pools[1].pool_size"),
            std::string::npos);
  EXPECT_NE(group(R"("primary": {"weight": 0}, "replicas": [{"weight": 0}])").find("weight"), std::string::npos);
  EXPECT_EQ(group(R"("primary": {"weight": 0}, "replicas": [{"weight": 1}])"), "");
  EXPECT_NE(group("", R"(, "bind_address": "0.0.0.0")").find("without TLS"), std::string::npos);
  EXPECT_NE(group("", R"(, "postgres": {"parameters": {"max_wal_senders": 2}})").find("too few"), std::string::npos);
}

}  // namespace
}  // namespace pgb::model
