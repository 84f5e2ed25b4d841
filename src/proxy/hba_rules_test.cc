#include "proxy/hba_rules.h"

#include <gtest/gtest.h>

#include "pgwire/digest.h"
#include "pgwire/md5.h"
#include "proxy/user_secret.h"

namespace pgb::proxy {
namespace {

std::string all_of(const Error& error) {
  std::string text = error.message;
  for (const auto& [label, detail] : error.details) text += "\n" + detail;
  return text;
}

HbaRules rules(const std::string& text) {
  auto read = HbaRules::parse(text);
  EXPECT_TRUE(read) << all_of(read.error());
  return read ? *read : HbaRules();
}

std::string mistakes(const std::string& text) {
  const auto read = HbaRules::parse(text);
  return read ? "" : all_of(read.error());
}

struct Who {
  std::string user = "alice";
  std::string database = "app";
  std::string host = "10.1.2.3";
  bool tls = false;
  bool replication = false;
};

// The line of the rule that speaks of this client; 0: none does.
size_t line_for(const HbaRules& rules, const Who& who, const std::vector<net::Network>& own = {}) {
  HbaClient client;
  client.address = *net::Address::parse(who.host, 4711);
  client.encrypted = who.tls;
  client.physical_replication = who.replication;
  client.user = who.user;
  client.database = who.database;
  const HbaRule* rule = rules.find(client, own);
  return rule == nullptr ? 0 : rule->line;
}

bool speaks(const std::string& rule, const Who& who) { return line_for(rules(rule), who) != 0; }

TEST(HbaRules, TheFirstRuleThatSpeaksOfAClientHolds) {
  const auto r = rules(
      "# who may what\n"
      "\n"
      "host  app  alice  10.1.2.3/32  reject  # this one not\n"
      "host  app  alice  10.0.0.0/8   md5\n"
      "host  all  all    0.0.0.0/0    scram-sha-256\n"
      "host  all  all    ::1/128      trust");
  EXPECT_EQ(r.size(), 4u);
  EXPECT_EQ(line_for(r, {}), 3u);
  EXPECT_EQ(line_for(r, {"alice", "app", "10.1.2.4"}), 4u);
  EXPECT_EQ(line_for(r, {"bob", "app", "10.1.2.4"}), 5u);
  EXPECT_EQ(line_for(r, {"alice", "other", "10.1.2.4"}), 5u);
  EXPECT_EQ(line_for(r, {"bob", "app", "::1"}), 6u);
  EXPECT_EQ(line_for(r, {"bob", "app", "::2"}), 0u);
  HbaClient nobody;
  nobody.user = nobody.database = "a";
  EXPECT_EQ(r.find(nobody, {}), nullptr) << "a peer whose address is not known";
}

TEST(HbaRules, EveryMethodIsRead) {
  const std::pair<const char*, AuthMethod> methods[] = {{"reject", AuthMethod::kReject},
                                                        {"trust", AuthMethod::kTrust},
                                                        {"md5", AuthMethod::kMd5},
                                                        {"scram-sha-256", AuthMethod::kScram},
                                                        {"cert", AuthMethod::kCert}};
  for (const auto& [word, method] : methods) {
    const auto r = rules(std::string("hostssl all all all ") + word);
    HbaClient client;
    client.encrypted = true;
    client.user = client.database = "a";
    ASSERT_NE(r.find(client, {}), nullptr);
    EXPECT_EQ(r.find(client, {})->method, method);
    EXPECT_STREQ(to_string(method), word);
  }
}

TEST(HbaRules, TheTypeSaysWhetherTheConnectionIsEncrypted) {
  const Who plain, tls{"alice", "app", "10.1.2.3", true};
  EXPECT_TRUE(speaks("host all all all trust", plain) && speaks("host all all all trust", tls));
  EXPECT_TRUE(speaks("hostnogssenc all all all trust", plain) && speaks("hostnogssenc all all all trust", tls));
  EXPECT_FALSE(speaks("hostssl all all all trust", plain));
  EXPECT_TRUE(speaks("hostssl all all all trust", tls));
  EXPECT_TRUE(speaks("hostnossl all all all trust", plain));
  EXPECT_FALSE(speaks("hostnossl all all all trust", tls));
  EXPECT_TRUE(rules("hostssl all all all trust").speaks_of_tls());
  EXPECT_FALSE(rules("host all all all trust").speaks_of_tls());
}

TEST(HbaRules, DatabasesAndUsersAreListsOfNamesAndWords) {
  const Who alice_app, own{"app", "app"}, all_named{"all", "all"};
  EXPECT_TRUE(speaks("host one,app,two bob,alice all trust", alice_app));
  EXPECT_TRUE(speaks("host one, app bob, alice all trust", alice_app)) << "blanks after a comma";
  EXPECT_FALSE(speaks("host one bob,alice all trust", alice_app));
  EXPECT_FALSE(speaks("host app bob all trust", alice_app));
  EXPECT_FALSE(speaks("host sameuser all all trust", alice_app));
  EXPECT_TRUE(speaks("host sameuser all all trust", own));
  EXPECT_FALSE(speaks("host \"sameuser\" all all trust", own)) << "in quotes it is a name";
  EXPECT_FALSE(speaks("host \"all\" all all trust", alice_app));
  EXPECT_FALSE(speaks("host all \"all\" all trust", alice_app));
  EXPECT_TRUE(speaks("host \"all\" \"all\" all trust", all_named));
  EXPECT_TRUE(speaks("host \"a b\"\"c,#\" all all trust", {"x", "a b\"c,#"}));
  EXPECT_FALSE(speaks("host App all all trust", alice_app)) << "letters count as they are";
  EXPECT_TRUE(speaks("host all al\\\nice all trust", alice_app)) << "a line may go on";
  const std::string longest(63, 'x');
  EXPECT_TRUE(speaks("host all " + longest + " all trust", {longest + "y", "app"})) << "a server cuts it, too";
}

TEST(HbaRules, PhysicalReplicationIsAllowedByItsWordOnly) {
  const Who replica{"alice", "app", "10.1.2.3", false, true}, client;
  EXPECT_TRUE(speaks("host replication all all trust", replica));
  EXPECT_TRUE(speaks("host app,replication alice all trust", replica));
  EXPECT_FALSE(speaks("host all all all trust", replica));
  EXPECT_FALSE(speaks("host app all all trust", replica));
  EXPECT_FALSE(speaks("host \"replication\" all all trust", replica));
  EXPECT_FALSE(speaks("host replication all all trust", client));
  EXPECT_FALSE(speaks("host replication all all trust", {"alice", "replication"}));
  EXPECT_TRUE(speaks("host \"replication\" all all trust", {"alice", "replication"}));
}

TEST(HbaRules, AddressesAreRangesOrWords) {
  EXPECT_TRUE(speaks("host all all 10.9.9.9/8 trust", {}));
  EXPECT_TRUE(speaks("host all all 10.1.0.0 255.255.0.0 trust", {}));
  EXPECT_FALSE(speaks("host all all 10.2.0.0 255.255.0.0 trust", {}));
  EXPECT_TRUE(speaks("host all all all trust", {"a", "b", "fe80::1"}));
  EXPECT_TRUE(speaks("host all all 2001:db8::/32 trust", {"a", "b", "2001:db8:1::1"}));
  EXPECT_TRUE(speaks("host all all ::1 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff trust", {"a", "b", "::1"}));
  const auto same = rules("host all all samehost trust\nhost all all samenet trust");
  EXPECT_TRUE(same.asks_for_own_networks());
  EXPECT_FALSE(rules("host all all all trust").asks_for_own_networks());
  const std::vector<net::Network> own = {*net::Network::parse("10.1.2.3", "24")};
  EXPECT_EQ(line_for(same, {}, own), 1u);
  EXPECT_EQ(line_for(same, {"a", "b", "10.1.2.4"}, own), 2u);
  EXPECT_EQ(line_for(same, {"a", "b", "10.1.3.3"}, own), 0u);
}

TEST(HbaRules, CertificatesAreAskedForByMethodOrOption) {
  const auto r = rules(
      "hostssl all a all scram-sha-256 clientcert=verify-full\n"
      "hostssl all b all md5 \"clientcert=verify-ca\"\n"
      "hostssl all c all cert clientcert=verify-full clientname=CN\n"
      "hostssl all d all trust");
  const std::pair<const char*, ClientCert> expected[] = {
      {"a", ClientCert::kUser}, {"b", ClientCert::kVerified}, {"c", ClientCert::kUser}, {"d", ClientCert::kAny}};
  for (const auto& [user, cert] : expected) {
    HbaClient client;
    client.encrypted = true;
    client.user = user;
    ASSERT_NE(r.find(client, {}), nullptr) << user;
    EXPECT_EQ(r.find(client, {})->cert, cert) << user;
  }
  EXPECT_TRUE(r.wants_certificates());
  EXPECT_FALSE(rules("hostssl all all all trust").wants_certificates());
}

TEST(HbaRules, AllMistakesAreToldAtOnceWithTheirLines) {
  const std::pair<const char*, const char*> wrong[] = {
      {"local all all trust", "\"local\" is for Unix sockets"},
      {"hostgssenc all all all trust", "no GSSAPI"},
      {"hots all all all trust", "unknown connection type \"hots\""},
      {"host,hostssl all all all trust", "must be one word"},
      {"@more", "other files are not included"},
      {"include_if_exists more.conf", "other files are not included"},
      {"host", "it ends before the database"},
      {"host all", "it ends before the user"},
      {"host all all", "it ends before the address"},
      {"host all all all", "it ends before the method"},
      {"host samerole all all trust", "member of which role"},
      {"host all bob,+staff all trust", "\"+staff\": the balancer does not know"},
      {"host /^a all all trust", "regular expressions"},
      {"host all @admins all trust", "other files are not included"},
      {"host all \"\" all trust", "must not be empty"},
      {"host all all 10.0.0.1 trust", "write 10.0.0.1/32"},
      {"host all all ::1", "write ::1/128"},
      {"host all all 10.0.0.0/33 trust", "33 bits is too long"},
      {"host all all 10.0.0.0/ trust", "a number of bits"},
      {"host all all 10.0.0.0 ffff:: trust", "not of the same kind"},
      {"host all all db.example.com trust", "names of hosts are not resolved"},
      {"host all all \"all\" trust", "not an IP address"},
      {"host all all all,samehost trust", "not a list"},
      {"host all all all password", "in clear; use scram-sha-256"},
      {"host all all all ldap", "the balancer has no method \"ldap\""},
      {"host all all all scram", "unknown method \"scram\""},
      {"host all all all cert", "the connection type must be hostssl"},
      {"host all all all md5 clientcert=verify-ca", "clientcert needs TLS"},
      {"hostssl all all all cert clientcert=verify-ca", "does not go with it"},
      {"hostssl all all all md5 clientcert=1", "must be verify-ca or verify-full"},
      {"hostssl all all all cert map=m", "maps are not supported"},
      {"hostssl all all all cert clientname=DN", "must be CN"},
      {"host all all all md5 foo=1", "unknown option \"foo\""},
      {"host all all all md5 foo", "name=value, not \"foo\""},
      {"host all \"all all md5", "a double quote is not closed"},
  };
  std::string file = "host all all all trust\n";
  for (const auto& [line, what] : wrong) {
    const std::string text = mistakes(line);
    EXPECT_NE(text.find(what), std::string::npos) << line << "\n" << text;
    file += std::string(line) + "\n";
  }
  const std::string text = mistakes(file);
  for (size_t i = 0; i < std::size(wrong); ++i) {
    EXPECT_NE(text.find("line " + std::to_string(i + 2) + ": "), std::string::npos) << wrong[i].first;
  }
  EXPECT_EQ(text.find("line 1:"), std::string::npos) << text;
  EXPECT_NE(mistakes("\n \n# nothing\n").find("there is no rule in it"), std::string::npos);
}

TEST(HbaRules, WhateverBytesComeItReadsOrRefusesThem) {
  const std::string seed =
      "hostssl all,\"b\"\"c\" alice 10.0.0.0/8 255.0.0.0 scram-sha-256 clientcert=verify-full # x\\\n";
  for (size_t i = 0; i < seed.size(); ++i) {
    for (const char c : {'"', ',', '\0', '\n', '#', '\\', '/', '\xff', ' ', '@'}) {
      std::string text = seed;
      text[i] = c;
      EXPECT_NO_FATAL_FAILURE((void)HbaRules::parse(text).ok());
    }
    (void)HbaRules::parse(seed.substr(0, i)).ok();
  }
}

TEST(UserSecret, ATextSaysItselfWhatItIs) {
  const Secret salt("s");
  const auto verifier = *pgwire::build_scram_verifier(Secret("pw"));
  const auto scram = read_user_secret("alice", pgwire::to_text(verifier).reveal(), salt);
  ASSERT_TRUE(scram);
  EXPECT_TRUE(scram->verifier && scram->md5.empty() && scram->password.empty());
  EXPECT_TRUE(scram->credentials().empty()) << "a verifier cannot log in";

  const Secret hash = *pgwire::md5_stored(Secret("pw"), "alice");
  const auto md5 = read_user_secret("alice", hash.reveal(), salt);
  ASSERT_TRUE(md5);
  EXPECT_TRUE(!md5->verifier && md5->md5 == hash && md5->password.empty());
  EXPECT_TRUE(md5->credentials().md5 == hash);

  const auto clear = read_user_secret("alice", "pw", salt);
  ASSERT_TRUE(clear);
  EXPECT_TRUE(clear->verifier && clear->md5 == hash && clear->password.equals("pw"));
  EXPECT_TRUE(clear->credentials().password.equals("pw"));
  EXPECT_EQ(clear->verifier->salt, read_user_secret("alice", "pw", salt)->verifier->salt) << "as a stored one's";
  EXPECT_NE(clear->verifier->salt, read_user_secret("bob", "pw", salt)->verifier->salt);

  EXPECT_TRUE(read_user_secret("alice", "", salt)->empty());
  const auto broken = read_user_secret("alice", "SCRAM-SHA-256$hunter2", salt);
  ASSERT_FALSE(broken);
  EXPECT_EQ(all_of(broken.error()).find("hunter2"), std::string::npos);
}

}  // namespace
}  // namespace pgb::proxy
