// Who may log in, from where, and how: the rules of a file in the manner of pg_hba.conf. Immutable; any thread may
// read. Source: PostgreSQL documentation, "The pg_hba.conf File".
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "net/network.h"

namespace pgb::proxy {

enum class AuthMethod : uint8_t { kReject, kTrust, kMd5, kScram, kCert };
const char* to_string(AuthMethod method);  // "reject", "trust", "md5", "scram-sha-256", "cert"

// What a certificate of the client's has to be, beside the method.
enum class ClientCert : uint8_t {
  kAny,       // there need not be one
  kVerified,  // clientcert=verify-ca
  kUser,      // clientcert=verify-full: its common name is the user's
};

struct HbaRule {
  enum class Transport : uint8_t { kAny, kTls, kPlain };
  enum class Range : uint8_t { kAll, kSameHost, kSameNet, kNetwork };
  struct Name {
    std::string text;
    bool quoted = false;  // then it is nothing but a name
    bool is(std::string_view keyword) const { return !quoted && text == keyword; }
  };

  size_t line = 0;  // where it begins in the file, from 1
  Transport transport = Transport::kAny;
  std::vector<Name> databases;
  std::vector<Name> users;
  Range range = Range::kAll;
  net::Network network;  // of kNetwork
  AuthMethod method = AuthMethod::kReject;
  ClientCert cert = ClientCert::kAny;
};

// Somebody who wants to log in.
struct HbaClient {
  net::Address address;
  bool encrypted = false;
  bool physical_replication = false;  // such a connection has no database: only the word "replication" allows it
  std::string user;
  std::string database;
};

class HbaRules {
 public:
  // kConfig with one detail line for every mistake: "line 3: …". Pure.
  static Result<HbaRules> parse(std::string_view text);

  // The first rule that speaks of this client; null if there is none. Owned by the rules. `own`: this machine's
  // networks; only asked for with samehost and samenet.
  const HbaRule* find(const HbaClient& client, const std::vector<net::Network>& own) const;
  bool asks_for_own_networks() const { return own_networks_; }
  bool speaks_of_tls() const;  // some rule only holds for connections with TLS
  bool wants_certificates() const;
  size_t size() const { return rules_.size(); }

 private:
  std::vector<HbaRule> rules_;
  bool own_networks_ = false;
};

using HbaRulesPtr = std::shared_ptr<const HbaRules>;

// Those that hold for logins to come. Thread-safe.
class CurrentHba {
 public:
  explicit CurrentHba(HbaRulesPtr rules) : rules_(std::move(rules)) {}
  void set(HbaRulesPtr rules) {
    const std::lock_guard lock(mutex_);
    rules_ = std::move(rules);
  }
  HbaRulesPtr get() const {  // null: there are none, everyone logs in by SCRAM-SHA-256
    const std::lock_guard lock(mutex_);
    return rules_;
  }

 private:
  mutable std::mutex mutex_;
  HbaRulesPtr rules_;  // guarded by mutex_
};

}  // namespace pgb::proxy
