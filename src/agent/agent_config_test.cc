#include "agent/agent_config.h"

#include <gtest/gtest.h>

#include "os/file.h"
#include "os/test_dir.h"

namespace pgb::agent {
namespace {

class AgentConfigFiles : public ::testing::Test {
 protected:
  void write(const std::string& name, const std::string& text) {
    ASSERT_TRUE(os::write_file_atomic(dir_.path + "/" + name, text, 0600).ok());
  }
  Result<AgentConfig> load() { return load_agent_config(dir_.path + "/agent.json"); }

  static AgentConfig member() {
    AgentConfig config;
    config.name = "node1";
    config.group = "lb1";
    config.store_endpoints = {"http://10.0.0.1:2379"};
    config.store_user = "pgbalancer";
    config.store_password = Secret("secret of the store");
    config.store_tls = {"authority", "certificate", Secret("secret key")};
    config.token = Secret("secret of the agents");
    config.durability = "quorum";
    config.lease = 5;
    config.members = {{"node1", "10.0.0.2", 5432, "10.0.0.2", 8008, "node1"}};
    return config;
  }

  os::TestDir dir_;
};

TEST_F(AgentConfigFiles, OneThatIsInNoGroupNeedsNoOther) {
  AgentConfig alone = member();
  alone.group.clear();
  write("agent.json", to_json(alone));
  const auto config = load();
  ASSERT_TRUE(config.ok()) << config.error().message;
  EXPECT_FALSE(config->has_store());
  EXPECT_TRUE(config->members.empty());
}

TEST_F(AgentConfigFiles, AMembersAreTwoAndTheSecondHoldsNoSecret) {
  write("agent.json", to_json(member()));
  EXPECT_EQ(load().error().code, Code::kConfigUnreadable) << "its group is not told";
  write("group.json", to_group_json(member()));
  const auto config = load();
  ASSERT_TRUE(config.ok()) << config.error().message;
  EXPECT_EQ(config->members, member().members);
  EXPECT_EQ(config->store_endpoints, member().store_endpoints);
  EXPECT_EQ(config->store_password, member().store_password);
  EXPECT_EQ(config->store_tls.ca, "authority");
  EXPECT_EQ(config->store_tls.cert, "certificate");
  EXPECT_EQ(config->store_tls.key.reveal(), "secret key");
  EXPECT_EQ(config->durability, "quorum");
  EXPECT_EQ(config->lease, 5);
  EXPECT_EQ(to_group_json(member()).find("secret"), std::string::npos);
}

TEST_F(AgentConfigFiles, TheGroupIsReadAgainWithoutTheOther) {
  write("agent.json", to_json(member()));
  write("group.json", to_group_json(member()));
  auto config = load();
  ASSERT_TRUE(config.ok());
  AgentConfig grown = member();
  grown.members.push_back({"node2", "10.0.0.3", 5432, "10.0.0.3", 8008, "node2"});
  write("group.json", to_group_json(grown));
  ASSERT_TRUE(os::remove_tree(dir_.path + "/agent.json").ok());
  ASSERT_TRUE(reload_group(*config).ok());
  EXPECT_EQ(config->members, grown.members);
  EXPECT_EQ(config->store_password, member().store_password);
  write("group.json", "{\"members\": [{}]}");
  EXPECT_EQ(reload_group(*config).error().code, Code::kConfig);
  EXPECT_EQ(config->members, grown.members) << "half of one is none";
}

}  // namespace
}  // namespace pgb::agent
