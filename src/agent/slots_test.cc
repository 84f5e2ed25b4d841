// Slots that have lost their WAL.
#include "agent/bootstrap.h"
#include "agent/data_dir.h"
#include "agent/server_acts.h"
#include "agent/test_agents.h"

namespace pgb::agent {
namespace {

class SlotsTest : public AgentTest {
 protected:
  void SetUp() override {
    AgentTest::SetUp();
    primary_.parameters["max_slot_wal_keep_size"] = "1MB";
    primary_.parameters["max_wal_size"] = primary_.parameters["min_wal_size"] = "32MB";
    Member replica;
    replica.name = replica.slot = "replica1";
    primary_.members = {replica};
    start(primary_);
    ASSERT_TRUE(becomes_healthy(primary_));
  }

  std::string slot() { return ask(primary_, "SELECT wal_status || ' ' || restart_lsn FROM pg_replication_slots"); }

  // As when nobody has read from it for long.
  void lose_slot() {
    const Deadline deadline = Deadline::after(milliseconds(20000));
    while (!deadline.expired() && ask(primary_, "SELECT wal_status FROM pg_replication_slots") != "lost") {
      ask(primary_, "SELECT pg_switch_wal() FROM pg_logical_emit_message(false, 'test', 'some WAL')");
      ask(primary_, "CHECKPOINT");
    }
    ASSERT_EQ(ask(primary_, "SELECT wal_status FROM pg_replication_slots"), "lost");
  }

  const DataDir data_{dir_.path + "/none/pgdata"};
  Postmaster postmaster_{replica_, "/nowhere"};
  Memory memory_{dir_.path + "/memory.json"};
  Progress progress_;
};

TEST_F(SlotsTest, IsMadeAnewForWhoComesToStream) {
  const ServerRole role = role_of(replica_);
  ASSERT_TRUE(make_slot(replica_, role, Deadline::after(milliseconds(5000))).ok());
  lose_slot();
  ASSERT_TRUE(make_slot(replica_, role, Deadline::after(milliseconds(5000))).ok());
  const std::string anew = slot();
  EXPECT_EQ(anew.rfind("reserved ", 0), 0u) << anew;
  ask(primary_, "SELECT pg_logical_emit_message(false, 'test', 'a little WAL')");
  ask(primary_, "CHECKPOINT");  // where a new one would begin
  ASSERT_TRUE(make_slot(replica_, role, Deadline::after(milliseconds(5000))).ok());
  EXPECT_EQ(slot(), anew) << "one that keeps its WAL stays";
}

TEST_F(SlotsTest, IsMadeAnewByWhoLeads) {
  const DataDir ready(primary_.data_dir);
  ServerActs leader(primary_, "/nowhere", ready, postmaster_, memory_, progress_);
  leader.make_slots();
  lose_slot();
  leader.make_slots();
  EXPECT_EQ(slot().rfind("reserved ", 0), 0u) << slot();
}

// Cut off for long, and never told to follow anew.
TEST_F(SlotsTest, IsMadeAnewForWhoFindsItsStreamRefused) {
  replica_.agent_password = primary_.agent_password;
  Member leader;
  leader.name = "primary1";
  leader.host = "127.0.0.1";
  leader.port = primary_.port;
  const DataDir ready(primary_.data_dir);  // whose roles are made
  ServerActs replica(replica_, "/nowhere", ready, postmaster_, memory_, progress_);
  const auto now = replica.trouble_with(leader, {1, uint64_t{1} << 60});
  EXPECT_EQ(now, ha::Trouble::kDiverged);
  ASSERT_TRUE(make_slot(replica_, role_of(replica_), Deadline::after(milliseconds(5000))).ok());
  lose_slot();
  EXPECT_EQ(replica.trouble_with(leader, {2, uint64_t{1} << 60}), ha::Trouble::kNone) << "there is WAL enough";
  EXPECT_EQ(slot().rfind("reserved ", 0), 0u) << slot();
}

}  // namespace
}  // namespace pgb::agent
