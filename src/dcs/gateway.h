// Answers the part of etcd's v3 JSON gateway that our client uses, from a local store: range, put, txn, lease grant,
// keepalive, revoke, timetolive, watch, authenticate. Ranges are single keys and prefixes at the newest revision.
#pragma once

#include <atomic>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "base/secret.h"
#include "dcs/local_store.h"
#include "http/message.h"

namespace pgb::dcs {

class Gateway {
 public:
  // `user` empty: whoever reaches it may ask. The store outlives the gateway and its answers.
  Gateway(LocalStore& store, std::string user, Secret password);

  // Thread-safe. Errors are etcd's: HTTP status and {"error", "message", "code"}. A watch's answer is streamed
  // (http::Response::more); at most `kMostWatches` at a time.
  http::Response handle(const http::Request& request);

  static constexpr int kMostWatches = 128;

 private:
  http::Response answer(const std::string& target, const nlohmann::json& body);  // to who is known

  LocalStore& store_;
  const std::string user_;
  const Secret password_;
  const Secret token_;  // of this process: after a restart clients log in again
  const std::shared_ptr<std::atomic<int>> watches_ = std::make_shared<std::atomic<int>>(0);
};

}  // namespace pgb::dcs
