#include <gtest/gtest.h>

#include "control/fake_proxy.h"
#include "control/group_roles.h"
#include "control/pcp_server.h"
#include "control/pcp_talk.h"
#include "dcs/local_store.h"
#include "net/socket.h"
#include "pgwire/digest.h"
#include "pgwire/writer.h"

namespace pgb::control {
namespace {

std::string framed(char kind, const std::string& payload = "") {
  std::string out;
  pgwire::Writer(out).begin(kind).bytes(payload).end();
  return out;
}

TEST(PcpFramer, APacketComesWholeHoweverItIsCut) {
  PcpFramer framer;
  const std::string bytes = framed('I', std::string("0\0", 2)) + framed('X');
  std::string seen;
  for (const char c : bytes) {
    framer.feed(std::string(1, c));
    while (const auto packet = framer.next()) seen += packet->kind + packet->payload;
  }
  EXPECT_EQ(seen, std::string("I0\0X", 4));
  EXPECT_FALSE(framer.broken());
}

TEST(PcpFramer, ALengthThatCannotBeEndsIt) {
  for (const std::string& bytes :
       {std::string("I\0\0\0\3", 5), std::string("I\xff\xff\xff\xff", 5), std::string("I\0\0\x27\x11", 5)}) {
    PcpFramer framer;
    framer.feed(bytes);
    EXPECT_FALSE(framer.next());
    EXPECT_TRUE(framer.broken());
  }
}

TEST(PcpUsersTest, APcpConfIsReadAndItsMistakesAreNamed) {
  const auto users = parse_pcp_users("# who\n\nboss:e8a48653851e28c69d0506508fb27fc5\n");
  ASSERT_TRUE(users);
  EXPECT_EQ(users->at("boss").reveal(), "e8a48653851e28c69d0506508fb27fc5");
  const auto wrong = parse_pcp_users(
      "boss:secret\nnobody\n:e8a48653851e28c69d0506508fb27fc5\na:e8a48653851e28c69d0506508fb27fc5\na:"
      "e8a48653851e28c69d0506508fb27fc5\n");
  ASSERT_FALSE(wrong);
  ASSERT_EQ(wrong.error().details.size(), 4u);
  EXPECT_EQ(wrong.error().details[0].second.find("secret"), std::string::npos) << "it may be a password";
  EXPECT_EQ(wrong.error().details[3].second, "line 5: \"a\" stands there already");
}

class PcpTalkTest : public ::testing::Test {
 protected:
  PcpTalk talk(bool old_node_info = false) {
    return PcpTalk({actions_, [this] { return users_; },
                    [](std::string_view) {
                      return Rows{{"a", std::nullopt}};
                    },
                    old_node_info});
  }
  // Logs in as pgpool-II's clients do.
  std::string log_in(PcpTalk& talk, const std::string& name, const std::string& password) {
    const std::string salt = talk.answer({'M', ""}).substr(5);
    const std::string once = *pgwire::md5_hex(*pgwire::md5_hex(password) + name);
    return talk.answer({'R', name + '\0' + *pgwire::md5_hex(once + salt) + '\0'});
  }
  std::string ask(char kind, const std::string& payload = "", bool old_node_info = false) {
    PcpTalk one = talk(old_node_info);
    log_in(one, "boss", "pw");
    std::string out = one.answer({kind, payload});
    std::replace(out.begin(), out.end(), '\0', '|');
    return out;
  }
  FakeProxy proxy_;
  std::optional<bool> waits_;
  Actions actions_{proxy_, [] { return Status(); }, [this](bool wait) { waits_ = wait; }};
  PcpUsers users_{{"boss", Secret(*pgwire::md5_hex("pw"))}};
};

TEST_F(PcpTalkTest, OnlyWhoKnowsThePasswordGetsIn) {
  PcpTalk good = talk();
  EXPECT_EQ(log_in(good, "boss", "pw"), framed('r', std::string("AuthenticationOK\0", 17)));
  EXPECT_FALSE(good.ended());
  for (const auto& [name, password] : {std::pair("boss", "wrong"), std::pair("nobody", "pw"), std::pair("", "")}) {
    PcpTalk bad = talk();
    EXPECT_EQ(log_in(bad, name, password)[0], 'E');
    EXPECT_TRUE(bad.ended() && bad.refused());
  }
  PcpTalk early = talk();
  EXPECT_EQ(early.answer({'L', ""})[0], 'E');
  EXPECT_TRUE(early.ended());
}

TEST_F(PcpTalkTest, AProofIsGoodForOneSaltOnly) {
  PcpTalk one = talk();
  const std::string salt = one.answer({'M', ""}).substr(5);
  const std::string proof = *pgwire::md5_hex(*pgwire::md5_hex(*pgwire::md5_hex("pw") + "boss") + salt);
  const std::string payload = std::string("boss") + '\0' + proof + '\0';
  EXPECT_EQ(one.answer({'R', payload})[0], 'r');
  EXPECT_EQ(one.answer({'R', payload})[0], 'E');
  PcpTalk without = talk();
  EXPECT_EQ(without.answer({'R', std::string("boss") + '\0' +
                                     *pgwire::md5_hex(*pgwire::md5_hex(*pgwire::md5_hex("pw") + "boss")) + '\0'})[0],
            'E');
}

TEST_F(PcpTalkTest, CommandsAreThoseOfTheOneTable) {
  const std::string node("0\0", 2);
  EXPECT_EQ(ask('C', node)[0], 'c');
  EXPECT_EQ(proxy_.said, "undrain primary1");
  EXPECT_EQ(ask('D', node)[0], 'd');
  EXPECT_EQ(proxy_.said, "drain primary1 -1 0");
  EXPECT_EQ(ask('d', node)[0], 'd');
  EXPECT_EQ(proxy_.said, "drain primary1 -1 60000");
  EXPECT_EQ(ask('Z', "l")[0], 'z');
  EXPECT_EQ(ask('T', "s")[0], 't');
  EXPECT_EQ(waits_, true);
  EXPECT_EQ(ask('T', "f")[0], 't');
  EXPECT_EQ(waits_, false);
  EXPECT_EQ(ask('G')[0], 'g');
  EXPECT_EQ(proxy_.said, "forget_statements ");
  proxy_.said.clear();
  EXPECT_NE(ask('J', std::string("0 \0s", 4)).find("no agents choose the primary here"), std::string::npos);
  EXPECT_NE(ask('V', "l").find("there is no log file"), std::string::npos);
  for (const char* bad : {"1", "-1", "x", "", "99999999999999999999"}) EXPECT_EQ(ask('D', bad)[0], 'E') << bad;
  for (const char kind : {'J', 'O', 'W', 'A', '?'}) EXPECT_EQ(ask(kind, node)[0], 'E') << kind;
  EXPECT_EQ(proxy_.said, "");
}

TEST_F(PcpTalkTest, ANodeIsToldInTheWayOfTheClientsVersion) {
  EXPECT_NE(ask('I', "0").find("NodeInfo|10.0.0.1|5432|3|0|down|2147483647.000000|3|unknown|0|0|||0|"),
            std::string::npos)
      << ask('I', "0");
  EXPECT_NE(ask('I', "-1", true).find("NodeInfo|10.0.0.1|5432|3|0|down|2147483647.000000|3|unknown|0|||0|"),
            std::string::npos);
  EXPECT_NE(ask('L').find("CommandComplete|1|"), std::string::npos);
}

// Nobody has opened a connection to it yet, which is no fault.
TEST_F(PcpTalkTest, AHealthyNodeIsUpAndWhatTheStoreKnowsOfReplicationIsTold) {
  const std::shared_ptr<dcs::LocalStore> store = dcs::LocalStore::in_memory();
  const auto put = [&](const std::string& key, const std::string& value) {
    ASSERT_TRUE(store->put("/pgbalancer/shop/lb1/" + key, value, 0, Deadline::after(std::chrono::seconds(5))));
  };
  put("leader", R"({"holder":"primary1","epoch":3})");
  put("sync", R"({"leader":"primary1","durability":"quorum","members":["replica1"],"required":1})");
  put("members/replica1", R"({"name":"replica1","state":"following","follows":"primary1","streaming":true})");
  put("members/replica2", R"({"name":"replica2","state":"following","follows":"primary1","streaming":true})");
  put("members/replica3", R"({"name":"replica3","state":"absent"})");
  proxy_.healthy = true;
  for (const char* name : {"replica1", "replica2", "replica3"}) {
    proxy_.more.push_back({name, "10.0.0.2", 5432, proxy::NodeRole::kReplica, true, ""});
  }
  GroupRoles roles("lb1", "shop");
  roles.use(store);
  actions_.roles = &roles;
  EXPECT_NE(ask('I', "1").find("|2|0|up|536870911.750000|3|standby|0|0|||0|"), std::string::npos) << ask('I', "1");
  ASSERT_TRUE(roles.now());
  EXPECT_NE(ask('I', "0").find("|2|0|up|536870911.750000|2|primary|0|0|||0|"), std::string::npos) << ask('I', "0");
  EXPECT_NE(ask('I', "1").find("|standby|0|0|streaming|quorum|0|"), std::string::npos) << ask('I', "1");
  EXPECT_NE(ask('I', "2").find("|standby|0|0|streaming|async|0|"), std::string::npos) << ask('I', "2");
  EXPECT_NE(ask('I', "3").find("|standby|0|0|||0|"), std::string::npos) << ask('I', "3");
  EXPECT_NE(ask('H', "1").find("|5432|up|standby|"), std::string::npos) << ask('H', "1");
  actions_.roles = nullptr;
  roles.use(nullptr);
}

TEST_F(PcpTalkTest, ALoginThatIsNotLookedAtEndsTheTalk) {
  PcpTalk one = talk();
  const std::string told = one.refuse_login(std::chrono::duration<double>(3.2));
  EXPECT_NE(told.find("try again in 4 s"), std::string::npos) << told;
  EXPECT_TRUE(one.ended());
  EXPECT_TRUE(one.user().empty());
}

TEST_F(PcpTalkTest, TheServerStopsWhileClientsAreConnected) {
  auto server = PcpServer::start("127.0.0.1", 0, [this] { return talk(); });
  ASSERT_TRUE(server);
  auto client = net::start_connect(*net::Address::parse("127.0.0.1", (*server)->port()));
  ASSERT_TRUE(client);
  server->reset();
}

}  // namespace
}  // namespace pgb::control
