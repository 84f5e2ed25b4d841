#include "control/load_tls.h"

#include <gtest/gtest.h>

namespace pgb::control {
namespace {

// A configuration of one node with these members more.
std::string with(const std::string& members) { return "{\"nodes\":[{\"host\":\"10.0.0.1\"}]," + members + "}"; }

std::string mistakes_in(const std::string& text) {
  const auto config = parse_balancer_config(text);
  std::string all;
  if (!config) {
    for (const auto& [label, detail] : config.error().details) all += detail + "\n";
  }
  return all;
}

TEST(LoadTls, KeysThatContradictEachOtherAreMistakes) {
  for (const auto& [members, mistake] : {
           std::pair(R"("tls_mode":"require")", "tls_cert_file: must be set"),
           std::pair(R"("tls_mode":"yes")", "tls_mode: must be"),
           std::pair(R"("tls_client_certs":"required","tls_ca_file":"ca")", "tls_client_certs: needs TLS"),
           std::pair(R"("tls_cert_file":"c","tls_key_file":"k","tls_client_certs":"optional")",
                     "tls_ca_file: must be set"),
           std::pair(R"("tls_cert_file":"c","tls_key_file":"k","tls_ca_file":"ca")", "tls_client_certs: must be"),
           std::pair(R"("tls_cert_file":"c","tls_key_file":"k","tls_mode":"disable","tls_client_certs":"required",
                        "tls_ca_file":"ca")",
                     "tls_client_certs: needs TLS"),
           std::pair(R"("server_tls":"verify")", "server_tls: must be"),
           std::pair(R"("server_tls":"verify-full")", "server_tls_ca_file: must be set"),
           std::pair(R"("server_tls":"require","server_tls_ca_file":"ca")", "server_tls: must be \"verify-ca\""),
           std::pair(R"("server_tls":"require","server_tls_cert_file":"c")", "server_tls_key_file: must be set"),
           std::pair(R"("server_tls_cert_file":"c","server_tls_key_file":"k")", "server_tls: must not be"),
       }) {
    EXPECT_NE(mistakes_in(with(members)).find(mistake), std::string::npos) << members << "\n"
                                                                           << mistakes_in(with(members));
  }
  const auto config = parse_balancer_config(
      R"({"nodes":[{"host":"10.0.0.1","tls_host":"db.example"}],"tls_cert_file":"c","tls_key_file":"k",
          "tls_mode":"require","tls_client_certs":"optional","tls_ca_file":"ca","server_tls":"verify-full",
          "server_tls_ca_file":"ca","server_tls_cert_file":"sc","server_tls_key_file":"sk"})");
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->topology().nodes[0].tls_name(), "db.example");
  EXPECT_EQ(parse_balancer_config(with(R"("port":1)"))->topology().nodes[0].tls_name(), "10.0.0.1");
}

TEST(LoadTls, WithoutKeysThereIsNoTlsAndAFileThatIsMissingIsNamedWithItsKey) {
  const auto none = load_tls(*parse_balancer_config(with(R"("port":1)")));
  ASSERT_TRUE(none);
  EXPECT_FALSE(none->to_clients);
  EXPECT_FALSE(none->required);
  EXPECT_FALSE(none->to_servers.context);
  const auto prefer = load_tls(*parse_balancer_config(with(R"("server_tls":"prefer")")));
  ASSERT_TRUE(prefer);
  EXPECT_TRUE(prefer->to_servers.context);
  EXPECT_FALSE(prefer->to_servers.required);
  EXPECT_TRUE(load_tls(*parse_balancer_config(with(R"("server_tls":"require")")))->to_servers.required);
  const auto clients = load_tls(
      *parse_balancer_config(with(R"("tls_mode":"disable","tls_cert_file":"/gone.crt","tls_key_file":"/gone.key")")));
  ASSERT_FALSE(clients) << "files are read whatever the mode";
  EXPECT_NE(clients.error().message.find("tls_cert_file"), std::string::npos) << clients.error().message;
  EXPECT_NE(clients.error().message.find("/gone.crt"), std::string::npos) << clients.error().message;
  const auto servers =
      load_tls(*parse_balancer_config(with(R"("server_tls":"verify-ca","server_tls_ca_file":"/gone.ca")")));
  ASSERT_FALSE(servers);
  EXPECT_NE(servers.error().message.find("server_tls"), std::string::npos) << servers.error().message;
  EXPECT_NE(servers.error().message.find("/gone.ca"), std::string::npos) << servers.error().message;
}

}  // namespace
}  // namespace pgb::control
