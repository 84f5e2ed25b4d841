#include "proxy/hba_rules.h"

#include <algorithm>

namespace pgb::proxy {
namespace {

constexpr size_t kLongestName = 63;  // a server cuts longer ones: here, too, they are the same

std::string_view cut(std::string_view name) { return name.substr(0, kLongestName); }

bool holds_for(const HbaRule& rule, const HbaClient& client, const std::vector<net::Network>& own) {
  const auto& address = client.address;
  switch (rule.range) {
    case HbaRule::Range::kAll: return true;
    case HbaRule::Range::kNetwork: return rule.network.contains(address);
    case HbaRule::Range::kSameHost:
      return std::any_of(own.begin(), own.end(), [&](const net::Network& n) { return n.address_is(address); });
    case HbaRule::Range::kSameNet:
      return std::any_of(own.begin(), own.end(), [&](const net::Network& n) { return n.contains(address); });
  }
  return false;
}

bool has_database(const HbaRule& rule, const HbaClient& client) {
  return std::any_of(rule.databases.begin(), rule.databases.end(), [&](const HbaRule::Name& name) {
    if (client.physical_replication || name.is("replication")) {
      return client.physical_replication && name.is("replication");
    }
    if (name.is("all")) return true;
    if (name.is("sameuser")) return cut(client.user) == cut(client.database);
    return cut(name.text) == cut(client.database);
  });
}

bool has_user(const HbaRule& rule, const HbaClient& client) {
  return std::any_of(rule.users.begin(), rule.users.end(),
                     [&](const HbaRule::Name& name) { return name.is("all") || cut(name.text) == cut(client.user); });
}

}  // namespace

const char* to_string(AuthMethod method) {
  switch (method) {
    case AuthMethod::kReject: return "reject";
    case AuthMethod::kTrust: return "trust";
    case AuthMethod::kMd5: return "md5";
    case AuthMethod::kScram: return "scram-sha-256";
    case AuthMethod::kCert: return "cert";
  }
  return "";
}

const HbaRule* HbaRules::find(const HbaClient& client, const std::vector<net::Network>& own) const {
  for (const HbaRule& rule : rules_) {
    if (rule.transport == HbaRule::Transport::kTls && !client.encrypted) continue;
    if (rule.transport == HbaRule::Transport::kPlain && client.encrypted) continue;
    if (holds_for(rule, client, own) && has_database(rule, client) && has_user(rule, client)) return &rule;
  }
  return nullptr;
}

bool HbaRules::speaks_of_tls() const {
  return std::any_of(rules_.begin(), rules_.end(),
                     [](const HbaRule& rule) { return rule.transport == HbaRule::Transport::kTls; });
}

bool HbaRules::wants_certificates() const {
  return std::any_of(rules_.begin(), rules_.end(), [](const HbaRule& rule) {
    return rule.method == AuthMethod::kCert || rule.cert != ClientCert::kAny;
  });
}

}  // namespace pgb::proxy
