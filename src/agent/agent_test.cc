// The agent's program against real PostgreSQL servers: cut off at many moments, it carries on or starts over.
#include "agent/agent.h"

#include "agent/data_dir.h"
#include "agent/server_acts.h"
#include "agent/test_agents.h"

// Told to stop while a tool runs, the agent ends with _exit, as QuitWatch promises, and joins nobody. ThreadSanitizer
// calls each connection of its HTTP server that has just ended a leaked thread, and makes the exit code 66. Those
// threads alone are let pass; races are told of as ever.
extern "C" const char* __tsan_default_suppressions();
extern "C" const char* __tsan_default_suppressions() { return "thread:src/http/server.cc\n"; }

// Nor may it make _exit sleep for a second, as it does by default, while the other threads carry on with their work.
extern "C" const char* __tsan_default_options();
extern "C" const char* __tsan_default_options() { return "atexit_sleep_ms=0"; }

namespace pgb::agent {
namespace {

TEST_F(AgentTest, APrimaryAndAReplicaThatTrulyStreams) {
  start(primary_);
  start(replica_);
  ASSERT_TRUE(becomes_healthy(primary_));
  ASSERT_TRUE(becomes_healthy(replica_));
  EXPECT_EQ(ask(primary_, "SELECT pg_is_in_recovery()"), "f");
  EXPECT_EQ(ask(replica_, "SELECT pg_is_in_recovery()"), "t");
  EXPECT_EQ(state(replica_)->role, "replica");
  ask(primary_, "CREATE TABLE seen AS SELECT 42 AS n");
  std::string got;
  for (int i = 0; i < 200 && got != "42"; ++i, poll(nullptr, 0, 20)) got = ask(replica_, "SELECT n FROM seen");
  EXPECT_EQ(got, "42");
  EXPECT_EQ(ask(primary_, "SELECT active FROM pg_replication_slots WHERE slot_name = 'replica1'"), "t");
}

// What a rewind to primary1 needs.
struct RewindSite {
  RewindSite(const AgentConfig& replica, const std::string& bin, uint16_t leader_port)
      : data(replica.data_dir),
        postmaster(replica, bin),
        memory(replica.config_dir + "/memory.json"),
        acts(replica, bin, data, postmaster, memory, progress) {
    EXPECT_TRUE(os::make_dirs(replica.config_dir + "/data", 0755).ok());
    leader.name = "primary1";
    leader.host = "127.0.0.1";
    leader.port = leader_port;
  }
  const DataDir data;
  Postmaster postmaster;
  Memory memory;
  Progress progress;
  ServerActs acts;
  Member leader;
};

// Two failures of pg_rewind make a full copy; a leader that takes no connections for a moment makes none.
TEST_F(AgentTest, ALeaderThatCannotBeAskedIsNoFailureOfARewind) {
  const std::string bin = dir_.path + "/bin";
  ASSERT_TRUE(os::make_dirs(bin, 0755).ok());
  ASSERT_TRUE(os::write_file_atomic(bin + "/pg_rewind", "#!/bin/sh\necho no common ancestor >&2\nexit 1\n", 0755).ok());
  RewindSite site(replica_, bin, primary_.port);
  Status done = site.acts.rewind(site.leader, 1);
  ASSERT_FALSE(done.ok());
  EXPECT_EQ(done.error().code, Code::kNotReady) << done.error().message;
  start(primary_);
  ASSERT_TRUE(becomes_healthy(primary_));
  done = site.acts.rewind(site.leader, 1);
  ASSERT_FALSE(done.ok());
  EXPECT_EQ(done.error().code, Code::kTool) << done.error().message;
  EXPECT_NE(done.error().message.find("no common ancestor"), std::string::npos) << done.error().message;
}

TEST_F(AgentTest, ALeaderThatRefusesTheSuperuserForLongIsAFailureOfARewind) {
  start(primary_);
  ASSERT_TRUE(becomes_healthy(primary_));
  replica_.superuser_password = Secret("not the leader's");
  RewindSite site(replica_, "/nowhere", primary_.port);
  const auto began = std::chrono::steady_clock::now();
  Code code = Code::kNotReady;
  while (code == Code::kNotReady && std::chrono::steady_clock::now() - began < 2 * ServerActs::kRefusalPatience) {
    const Status done = site.acts.rewind(site.leader, 1);
    ASSERT_FALSE(done.ok());
    code = done.error().code;
    if (code == Code::kAuth) {
      EXPECT_NE(done.error().message.find("primary1 refuses postgres"), std::string::npos) << done.error().message;
    }
    poll(nullptr, 0, 100);
  }
  EXPECT_EQ(code, Code::kAuth);
  EXPECT_GE(std::chrono::steady_clock::now() - began, ServerActs::kRefusalPatience);
}

// A source that is cut off must not hold them for ever.
TEST_F(AgentTest, CopiesNoticeThatTheirSourceIsGone) {
  const std::string bin = dir_.path + "/bin", told = dir_.path + "/told";
  ASSERT_TRUE(os::make_dirs(bin, 0755).ok());
  for (const char* tool : {"/pg_rewind", "/pg_basebackup"}) {
    ASSERT_TRUE(os::write_file_atomic(bin + tool, "#!/bin/sh\necho \"$0 $*\" >>" + told + "; exit 1\n", 0755).ok());
  }
  start(primary_);
  ASSERT_TRUE(becomes_healthy(primary_));
  RewindSite site(replica_, bin, primary_.port);
  EXPECT_FALSE(site.acts.rewind(site.leader, 1).ok());
  EXPECT_FALSE(site.acts.full_copy(site.leader, 1).ok());
  std::string lines = os::read_file(told).value();
  for (const char* tool : {"/pg_rewind ", "/pg_basebackup "}) {
    const size_t line = lines.find(tool);
    ASSERT_NE(line, std::string::npos) << lines;
    EXPECT_NE(lines.substr(line, lines.find('\n', line) - line).find(kNoticesSilence), std::string::npos) << lines;
  }
  EXPECT_EQ(lines.find("wal_sender_timeout"), std::string::npos) << lines;
  replica_.parameters["wal_sender_timeout"] = "5s";  // as of who says nothing
  EXPECT_FALSE(site.acts.full_copy(site.leader, 1).ok());
  lines = os::read_file(told).value();
  EXPECT_NE(lines.find(" options='-c wal_sender_timeout=60s' "), std::string::npos) << lines;
}

TEST_F(AgentTest, KilledAtAnyMomentOfBootstrapItRunsTheInitSqlExactlyOnce) {
  add_init_sql(primary_, "CREATE TABLE once (n int); INSERT INTO once VALUES (1);");
  for (int wait : {20, 60, 150, 300, 450, 550, 650, 800}) {
    const pid_t pid = start(primary_);
    poll(nullptr, 0, wait);  // a moment, not a condition: wherever that is, the next start must cope
    end_and_forget(pid, SIGKILL);
  }
  start(primary_);
  ASSERT_TRUE(becomes_healthy(primary_));
  EXPECT_EQ(ask(primary_, "SELECT count(*) FROM once"), "1");
}

TEST_F(AgentTest, NobodyCopiesAPrimaryWhoseInitSqlHasNotRun) {
  add_init_sql(primary_, "CREATE TABLE once (n int); SELEC 1;");
  const pid_t broken = start(primary_);
  start(replica_);
  const auto is = [this](const AgentConfig& config, const char* phase, const char* detail) {
    auto now = state(config);
    return now.ok() && now->phase == phase && now->detail.find(detail) != std::string::npos;
  };
  const Deadline deadline = Deadline::after(milliseconds(30000));
  while (!deadline.expired() && !is(primary_, "failed", "SELEC")) poll(nullptr, 0, 20);
  while (!deadline.expired() && !is(replica_, "waiting", "does not take us yet")) poll(nullptr, 0, 20);
  ASSERT_FALSE(deadline.expired()) << "the replica waits for a primary that failed";
  EXPECT_EQ(ask(primary_, "SELECT count(*) FROM pg_replication_slots"), "0");
  end_and_forget(broken, SIGTERM);
  add_init_sql(primary_, "CREATE TABLE once (n int);");
  start(primary_);
  ASSERT_TRUE(becomes_healthy(replica_));
  EXPECT_EQ(ask(replica_, "SELECT count(*) FROM once"), "0");
}

TEST_F(AgentTest, AReplicaKilledWhileItCopiesStartsOverWithItsSlot) {
  start(primary_);
  ASSERT_TRUE(becomes_healthy(primary_));
  for (int wait : {30, 100, 200, 300}) {
    const pid_t pid = start(replica_);
    poll(nullptr, 0, wait);
    end_and_forget(pid, SIGKILL);
  }
  start(replica_);
  ASSERT_TRUE(becomes_healthy(replica_));
  EXPECT_EQ(ask(primary_, "SELECT count(*) FROM pg_replication_slots"), "1");
}

TEST_F(AgentTest, ToldToStopWhileInitdbRunsItStopsAtOnce) {
  const pid_t pid = start(primary_);
  const Deadline deadline = Deadline::after(milliseconds(5000));
  auto in_initdb = [this] {
    auto now = state(primary_);
    return now.ok() && now->phase == "initdb";
  };
  bool seen = false;
  while (!seen && !deadline.expired()) {
    seen = in_initdb();
    if (!seen) poll(nullptr, 0, 2);
  }
  ASSERT_TRUE(seen);
  const auto began = Deadline::Clock::now();
  const int code = end_and_forget(pid, SIGTERM);
  EXPECT_LT(Deadline::Clock::now() - began, milliseconds(2000));
  auto log = os::read_file(primary_.config_dir + "/log");
  EXPECT_EQ(code, 0) << (log.ok() ? *log : "");
  const DataStage left = DataDir(primary_.data_dir).look();
  EXPECT_TRUE(left == DataStage::kMaking || left == DataStage::kEmpty);  // it did not wait for initdb
}

TEST_F(AgentTest, ACrashedServerIsStartedAgain) {
  start(primary_);
  ASSERT_TRUE(becomes_healthy(primary_));
  const auto before = state(primary_)->postmaster_pid;
  ::kill(static_cast<pid_t>(before), SIGKILL);
  ASSERT_TRUE(becomes_healthy(primary_));
  const Deadline deadline = Deadline::after(milliseconds(10000));
  while (!deadline.expired() && (!state(primary_).ok() || state(primary_)->postmaster_pid == before))
    poll(nullptr, 0, 20);
  EXPECT_NE(state(primary_)->postmaster_pid, before);
  EXPECT_TRUE(becomes_healthy(primary_));
}

TEST_F(AgentTest, StopsCleanlyAndKeepsTheData) {
  pid_t pid = start(primary_);
  ASSERT_TRUE(becomes_healthy(primary_));
  ask(primary_, "CREATE TABLE kept AS SELECT 7 AS n");
  EXPECT_EQ(end_and_forget(pid, SIGTERM), 0);
  auto log = os::read_file(primary_.config_dir + "/log");
  ASSERT_TRUE(log.ok());
  EXPECT_NE(log->find("database system is shut down"), std::string::npos);
  start(primary_);
  ASSERT_TRUE(becomes_healthy(primary_));
  EXPECT_EQ(ask(primary_, "SELECT n FROM kept"), "7");
}

TEST_F(AgentTest, NeverTouchesADirectoryItDidNotMake) {
  ASSERT_TRUE(os::make_dirs(primary_.data_dir, 0755).ok());
  ASSERT_TRUE(os::write_file_atomic(primary_.data_dir + "/PG_VERSION", "15\n", 0644).ok());
  start(primary_);
  const Deadline deadline = Deadline::after(milliseconds(5000));
  auto now = state(primary_);
  for (; !deadline.expired() && !(now.ok() && now->phase == "failed"); poll(nullptr, 0, 20)) now = state(primary_);
  ASSERT_TRUE(now.ok());
  EXPECT_EQ(now->phase, "failed");
  EXPECT_NE(now->detail.find("did not make"), std::string::npos) << now->detail;
  EXPECT_EQ(os::list_dir(primary_.data_dir).value().size(), 1u);
}

TEST_F(AgentTest, NobodyWithoutTheTokenLearnsAnything) {
  start(primary_);
  ASSERT_TRUE(becomes_healthy(primary_));
  auto refused =
      api::agent_state({"127.0.0.1", primary_.agent_port, Secret("wrong")}, Deadline::after(milliseconds(2000)));
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, Code::kAuth);
}

TEST_F(AgentTest, ReplicationIsRefusedToAllButItsUser) {
  start(primary_);
  ASSERT_TRUE(becomes_healthy(primary_));
  pgclient::ConnInfo info;
  info.host = "127.0.0.1";
  info.port = primary_.port;
  info.user = "postgres";
  info.password = Secret("super");
  info.replication = true;
  EXPECT_FALSE(pgclient::Connection::open(info, Deadline::after(milliseconds(5000))).ok());
  info.user = "replicator";
  info.password = Secret("repl");
  EXPECT_TRUE(pgclient::Connection::open(info, Deadline::after(milliseconds(5000))).ok());
}

}  // namespace
}  // namespace pgb::agent
