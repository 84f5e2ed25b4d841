#include "agent/pg_conf.h"

#include <gtest/gtest.h>

#include "agent/wal_room.h"

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

TEST(PgConf, AStreamWhoseSourceIsGoneWithoutAWordEnds) {
  const std::string text = render_conf(replica(), "/dir/pass", role_of(replica()));
  EXPECT_NE(text.find(" keepalives_idle=5 keepalives_interval=2 keepalives_count=3 tcp_user_timeout=15000'\n"),
            std::string::npos)
      << text;
}

TEST(PgConf, APrimaryStreamsFromNobody) {
  AgentConfig config = replica();
  config.primary = true;
  EXPECT_EQ(render_conf(config, "/dir/pass", role_of(config)).find("primary_conninfo"), std::string::npos);
}

TEST(PgConf, SlotsKeepWhatTheDiskHasRoomForUnlessTheUserSays) {
  ServerRole role;
  role.slot_wal = uint64_t{3} << 30;
  AgentConfig config = replica();
  EXPECT_NE(render_conf(config, "/dir/pass", role).find("max_slot_wal_keep_size = 3072MB\n"), std::string::npos);
  config.parameters["max_slot_wal_keep_size"] = "5GB";
  const std::string text = render_conf(config, "/dir/pass", role);
  EXPECT_NE(text.find("max_slot_wal_keep_size = '5GB'\n"), std::string::npos) << text;
  EXPECT_EQ(text.find("3072MB"), std::string::npos) << text;
}

TEST(WalRoom, IsHalfOfWhatTheWalAndTheFreeRoomAreTogether) {
  constexpr uint64_t kMb = 1 << 20;
  EXPECT_EQ(slot_wal_limit(600 * kMb, 200 * kMb), 400 * kMb);
  EXPECT_EQ(slot_wal_limit(400 * kMb, 400 * kMb), 400 * kMb) << "what a slot takes does not alter it";
  EXPECT_EQ(slot_wal_limit(50 * kMb, 32 * kMb), 64 * kMb);
  EXPECT_EQ(slot_wal_limit(uint64_t{9} << 40, 0), uint64_t{64} << 30);
  EXPECT_FALSE(is_other_limit(400 * kMb, 448 * kMb));
  EXPECT_TRUE(is_other_limit(400 * kMb, 464 * kMb));
  EXPECT_TRUE(is_other_limit(400 * kMb, 320 * kMb));
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
