// Any file of rules: it is read or refused with reasons, and what was read can be held against a client.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "proxy/hba_rules.h"

using namespace pgb;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto rules = proxy::HbaRules::parse(text);
  if (!rules) {
    if (rules.error().details.empty()) abort();
    return 0;
  }
  if (rules->size() == 0) abort();
  proxy::HbaClient client;
  client.address = *net::Address::parse("10.1.2.3", 1);
  client.user = "alice";
  client.database = "app";
  for (const bool replication : {false, true}) {
    client.physical_replication = replication;
    client.encrypted = !client.encrypted;
    const proxy::HbaRule* rule = rules->find(client, {});
    if (rule != nullptr && (rule->line == 0 || rule->databases.empty() || rule->users.empty())) abort();
    if (rule != nullptr && rule->transport == proxy::HbaRule::Transport::kTls && !client.encrypted) abort();
  }
  return 0;
}
