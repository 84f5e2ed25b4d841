#include "agent/pg_conf.h"

#include <gtest/gtest.h>

namespace pgb::agent {
namespace {

AgentConfig replica() {
  AgentConfig config;
  config.name = "replica1";
  config.replication_user = "rep'l";
  config.replication_password = Secret("pw:x\\y");
  config.primary_host = "10.0.0.1";
  config.primary_port = 5432;
  config.slot = "replica1";
  config.parameters = {{"work_mem", "4MB"}, {"log_line_prefix", "it's \\"}};
  return config;
}

TEST(PgConf, QuotesWhatAUserMayWrite) {
  const std::string text = render_conf(replica(), "/dir/pass", role_of(replica()));
  EXPECT_NE(text.find("log_line_prefix = 'it''s \\\\'\n"), std::string::npos) << text;
  EXPECT_NE(text.find("primary_slot_name = 'replica1'"), std::string::npos);
}

TEST(PgConf, ThePasswordIsInThePassfileAlone) {
  EXPECT_EQ(render_conf(replica(), "/dir/pass", role_of(replica())).find("pw"), std::string::npos);
  EXPECT_EQ(render_passfile(replica()), "*:*:*:rep'l:pw\\:x\\\\y\n");
  for (const std::string& argument : server_arguments(replica())) EXPECT_EQ(argument.find("pw"), std::string::npos);
}

TEST(PgConf, APrimaryStreamsFromNobody) {
  AgentConfig config = replica();
  config.primary = true;
  EXPECT_EQ(render_conf(config, "/dir/pass", role_of(config)).find("primary_conninfo"), std::string::npos);
}

TEST(PgConf, ReplicationIsForItsUserAloneAndOnlyByScram) {
  const std::string hba = render_hba(replica());
  EXPECT_NE(hba.find("replication  \"rep'l\"  all  scram-sha-256"), std::string::npos) << hba;
  EXPECT_NE(hba.find("replication  all  all  reject"), std::string::npos);
  EXPECT_EQ(hba.find("trust"), std::string::npos);
  EXPECT_EQ(hba.find("local"), std::string::npos);
}

}  // namespace
}  // namespace pgb::agent
