#include "dcs/etcd_client.h"

#include <algorithm>
#include <mutex>
#include <optional>
#include <thread>

#include "base/strings.h"
#include "dcs/etcd_error.h"
#include "dcs/watch_stream.h"
#include "http/client.h"

namespace pgb::dcs {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kFirstPause{50};
constexpr milliseconds kLongestPause{500};
constexpr milliseconds kShortestTry{50};  // with less left, a write would end in doubt rather than answered
constexpr size_t kMostIdle = 3;           // connections to a member: as many as ask at once

// A gateway may refuse in plain words.
Json said_by(const http::Response& response) {
  Json body = parse_json(response.body);
  if (response.status == 200 || body.is_object()) return body;
  return response.body.empty() ? Json() : Json{{"message", response.body.substr(0, 200)}};
}

// Cut short by a canceller.
void pause(milliseconds wait, Deadline deadline, const Canceller* canceller) {
  const Deadline until = deadline.sooner(wait);
  while (!until.expired() && (canceller == nullptr || !canceller->cancelled())) {
    std::this_thread::sleep_for(std::min(until.remaining(), milliseconds(10)));
  }
}

// What to do after one member was asked.
struct Attempt {
  std::optional<Json> answer;
  Error error;
  bool again = false;  // another member, or the same one later, may do better
};

class EtcdClient final : public Dcs {
 public:
  EtcdClient(EtcdSettings settings, std::vector<http::Endpoint> endpoints)
      : settings_(std::move(settings)), endpoints_(std::move(endpoints)), idle_(endpoints_.size()) {}

  Result<Snapshot> range(const Range& range, Deadline deadline) override {
    auto answer = ask("/v3/kv/range", write_range(range), true, deadline);
    if (!answer) return std::move(answer).error();
    auto revision = read_revision(*answer);
    if (!revision) return std::move(revision).error();
    Snapshot snapshot;
    snapshot.revision = *revision;
    for (const Json& item : member(*answer, "kvs")) {
      auto kv = read_kv(item);
      if (!kv) return std::move(kv).error();
      snapshot.kvs.push_back(std::move(*kv));
    }
    return snapshot;
  }

  Result<Revision> put(const std::string& key, const std::string& value, LeaseId lease, Deadline deadline) override {
    Json request = write_txn({{}, {Op::put(key, value, lease)}, {}})["success"][0]["request_put"];
    auto answer = ask("/v3/kv/put", request, false, deadline);
    if (!answer) return std::move(answer).error();
    return read_revision(*answer);
  }

  Result<TxnResult> txn(const Txn& txn, Deadline deadline) override {
    auto answer = ask("/v3/kv/txn", write_txn(txn), changes_nothing(txn), deadline);
    if (!answer) return std::move(answer).error();
    auto revision = read_revision(*answer);
    if (!revision) return std::move(revision).error();
    TxnResult result;
    result.revision = *revision;
    result.succeeded = read_flag(*answer, "succeeded");
    const Json& cluster = member(member(*answer, "header"), "cluster_id");
    if (cluster.is_string()) result.cluster = cluster.get<std::string>();
    for (const Json& item : member(*answer, "responses")) {
      auto one = read_op_result(item);
      if (!one) return std::move(one).error();
      result.results.push_back(std::move(*one));
    }
    return result;
  }

  Result<Lease> grant(std::chrono::seconds ttl, Deadline deadline) override {
    auto answer = ask("/v3/lease/grant", {{"TTL", std::to_string(ttl.count())}}, true, deadline);
    if (!answer) return std::move(answer).error();
    auto id = read_number(*answer, "ID");
    if (!id) return std::move(id).error();
    auto granted = read_number(*answer, "TTL");
    if (!granted) return std::move(granted).error();
    return Lease{*id, std::chrono::seconds(*granted)};
  }

  Result<std::chrono::seconds> keep_alive(LeaseId lease, Deadline deadline) override {
    auto answer = ask("/v3/lease/keepalive", {{"ID", std::to_string(lease)}}, true, deadline);
    if (!answer) return std::move(answer).error();
    auto ttl = read_number(member(*answer, "result"), "TTL");
    if (!ttl) return std::move(ttl).error();
    if (*ttl <= 0) return lease_is_gone(lease);
    return std::chrono::seconds(*ttl);
  }

  Status revoke(LeaseId lease, Deadline deadline) override {
    auto answer = ask("/v3/lease/revoke", {{"ID", std::to_string(lease)}}, true, deadline);
    return answer ? Status() : Status(std::move(answer).error());
  }

  Result<LeaseInfo> time_to_live(LeaseId lease, Deadline deadline) override {
    auto answer = ask("/v3/lease/timetolive", {{"ID", std::to_string(lease)}, {"keys", true}}, true, deadline);
    if (!answer) return std::move(answer).error();
    auto left = read_number_or_negative(*answer, "TTL");
    if (left < 0) return lease_is_gone(lease);
    auto granted = read_number(*answer, "grantedTTL");
    if (!granted) return std::move(granted).error();
    LeaseInfo info{std::chrono::seconds(*granted), std::chrono::seconds(left), {}};
    for (const Json& item : member(*answer, "keys")) {
      auto key = read_bytes({{"key", item}}, "key");
      if (!key) return std::move(key).error();
      info.keys.push_back(std::move(*key));
    }
    return info;
  }

  Status watch(const std::string& prefix, Revision from, Deadline deadline, Canceller* canceller,
               const std::function<bool(const Changes&)>& on_changes) override;

 private:
  // One connection of a watch. With an answer: it came to its end, `again` if more is wanted.
  Attempt follow(size_t which, const std::string& prefix, WatchStream& watched, Deadline deadline,
                 Canceller* canceller);

  static Error lease_is_gone(LeaseId lease) {
    return Error(Code::kNotFound, "lease " + std::to_string(lease) + " is unknown: it has run out or was revoked")
        .with("try", "a new lease");
  }

  // etcd says -1 of a lease that it does not know.
  static int64_t read_number_or_negative(const Json& object, const char* name) {
    const Json& value = member(object, name);
    if (value.is_string() && value.get_ref<const std::string&>().substr(0, 1) == "-") return -1;
    const auto number = read_number(object, name);
    return number ? *number : -1;
  }

  // Every success tells the store's revision; a stream's within.
  static bool is_answer(const Json& answer) {
    const auto revision = read_revision(member(answer, "result").is_object() ? answer["result"] : answer);
    return revision && *revision > 0 && !answer.contains("error");
  }

  static bool changes_nothing(const Txn& txn) {
    const auto is_get = [](const Op& op) { return op.kind == Op::Kind::kGet; };
    return std::all_of(txn.then.begin(), txn.then.end(), is_get) &&
           std::all_of(txn.otherwise.begin(), txn.otherwise.end(), is_get);
  }

  // Asks one member after the other until one answers; see the header.
  Result<Json> ask(const std::string& path, const Json& body, bool harmless, Deadline deadline) {
    milliseconds wait = kFirstPause;
    Error last(Code::kTimeout, "the lease store could not be asked in time");
    for (size_t tries = 0; !deadline.expired(); ++tries) {
      if (tries > 0 && tries % endpoints_.size() == 0) {
        const milliseconds left = deadline.remaining() - kShortestTry;
        if (left <= milliseconds(0)) return last;
        pause(std::min(wait, left), deadline, nullptr);
        wait = std::min(wait * 2, kLongestPause);
      }
      const size_t which = current();
      Attempt attempt = try_one(which, path, body, harmless, deadline);
      if (attempt.answer) return std::move(*attempt.answer);
      // The last try of many has too little time left: what went wrong before says more.
      if (tries == 0 || attempt.error.code != Code::kTimeout) last = std::move(attempt.error);
      if (!attempt.again) return last;
      turn_from(which);
    }
    return last;
  }

  Attempt try_one(size_t which, const std::string& path, const Json& body, bool harmless, Deadline deadline) {
    for (bool first = true;; first = false) {
      auto request = prepare(which, path, body, deadline);
      if (!request) return {std::nullopt, request.error(), request.error().code != Code::kAuth};
      bool sent = false;
      auto response = call(which, *request, harmless, deadline.sooner(settings_.attempt_limit), &sent);
      if (!response) return unanswered(std::move(response).error(), sent && !harmless, which);
      Json answer = said_by(*response);
      if (response->status == 200 && is_answer(answer)) return {std::move(answer), {}, false};
      Refusal refusal = refusal_of(endpoints_[which].str(), response->status, answer, harmless);
      if (refusal.login && first && !settings_.user.empty()) {
        forget_token();
        continue;
      }
      const bool again = refusal.error.code == Code::kNotReady;
      if (refusal.error.code == Code::kInDoubt) turn_from(which);
      return {std::nullopt, std::move(refusal.error), again};
    }
  }

  // Over a connection of ours that stands, if there is one. What meets the end of one goes over a new one, if it may be
  // repeated.
  Result<http::Response> call(size_t which, const http::Request& request, bool harmless, Deadline deadline,
                              bool* sent) {
    std::unique_ptr<http::KeptConnection> connection = take_connection(which);
    auto response = connection->call(request, deadline, {nullptr, sent});
    const bool ended = !response && response.error().code == Code::kIo && connection->reused();
    if (ended && harmless) response = connection->call(request, deadline, {nullptr, sent});
    if (response) give_back(which, std::move(connection));
    return response;
  }

  std::unique_ptr<http::KeptConnection> take_connection(size_t which) {
    {
      const std::lock_guard lock(mutex_);
      if (auto& idle = idle_[which]; !idle.empty()) {
        auto connection = std::move(idle.back());
        idle.pop_back();
        return connection;
      }
    }
    return std::make_unique<http::KeptConnection>(endpoints_[which]);
  }

  void give_back(size_t which, std::unique_ptr<http::KeptConnection> connection) {
    const std::lock_guard lock(mutex_);
    if (connection->fd() >= 0 && idle_[which].size() < kMostIdle) idle_[which].push_back(std::move(connection));
  }

  Attempt unanswered(Error error, bool in_doubt, size_t which) {
    if (in_doubt) {
      turn_from(which);
      error = Error(Code::kInDoubt, error.message).with("try", "look what the store holds before writing again");
    } else if (error.code != Code::kTimeout) {
      error.code = Code::kUnreachable;
    }
    return {std::nullopt, std::move(error), !in_doubt};
  }

  Result<http::Request> prepare(size_t which, const std::string& path, const Json& body, Deadline deadline) {
    http::Request request;
    request.method = "POST";
    request.target = path;
    request.headers["content-type"] = "application/json";
    request.headers["grpc-metadata-hasleader"] = "true";
    request.body = body.dump(-1, ' ', false, Json::error_handler_t::replace);
    if (settings_.user.empty()) return request;
    auto token = log_in(which, deadline);
    if (!token) return std::move(token).error();
    request.headers["authorization"] = token->reveal();
    return request;
  }

  Result<Secret> log_in(size_t which, Deadline deadline) {
    {
      const std::lock_guard lock(mutex_);
      if (!token_.empty()) return token_;
    }
    http::Request request;
    request.method = "POST";
    request.target = "/v3/auth/authenticate";
    request.body = Json{{"name", settings_.user}, {"password", settings_.password.reveal()}}.dump(
        -1, ' ', false, Json::error_handler_t::replace);
    auto response = http::call(endpoints_[which], request, deadline.sooner(settings_.attempt_limit));
    if (!response) return unanswered(std::move(response).error(), false, which).error;
    const Json answer = said_by(*response);
    const Json& token = member(answer, "token");
    if (response->status != 200 || !token.is_string()) {
      return refusal_of(endpoints_[which].str() + ", as " + settings_.user, response->status, answer, true).error;
    }
    const std::lock_guard lock(mutex_);
    token_ = Secret(token.get<std::string>());
    return token_;
  }

  void forget_token() {
    const std::lock_guard lock(mutex_);
    token_ = Secret();
  }

  size_t current() const {
    const std::lock_guard lock(mutex_);
    return current_;
  }

  void turn_from(size_t which) {
    const std::lock_guard lock(mutex_);
    if (current_ == which) current_ = (which + 1) % endpoints_.size();
  }

  const EtcdSettings settings_;
  const std::vector<http::Endpoint> endpoints_;
  mutable std::mutex mutex_;                                              // guards what follows
  size_t current_ = 0;                                                    // the member that answered last
  std::vector<std::vector<std::unique_ptr<http::KeptConnection>>> idle_;  // by member; the newest is the next
  Secret token_;
};

Attempt EtcdClient::follow(size_t which, const std::string& prefix, WatchStream& watched, Deadline deadline,
                           Canceller* canceller) {
  // A stopped member would take the watch and stay silent: it has to answer something first.
  Attempt probe = try_one(which, "/v3/kv/range", write_range({prefix.empty() ? "/" : prefix, false}), true, deadline);
  if (!probe.answer) return probe;
  auto revision = read_revision(*probe.answer);
  if (!revision) return {std::nullopt, std::move(revision).error(), false};
  watched.begin(*revision);
  Json create = write_range({prefix, true});
  create["start_revision"] = std::to_string(watched.from());
  auto request = prepare(which, "/v3/watch", {{"create_request", std::move(create)}}, deadline);
  if (!request) return {std::nullopt, std::move(request).error(), true};
  const auto take = [&](std::string_view piece) { return watched.take(piece); };
  auto response =
      http::stream(endpoints_[which], *request, deadline.sooner(settings_.watch_renewal), take, {canceller, nullptr});
  if (watched.satisfied()) return {Json(), {}, false};
  if (watched.error()) return {std::nullopt, *watched.error(), false};
  if (!response) {
    const bool over = watched.created() && response.error().code == Code::kTimeout;
    if (over) return {Json(), {}, true};
    return unanswered(std::move(response).error(), false, which);
  }
  const bool refused = response->status != 200 || !watched.refusal().is_null();
  if (!refused)
    return {std::nullopt, Error(Code::kUnreachable, endpoints_[which].str() + ": the watch was cut off"), true};
  const Json body = response->status != 200 ? parse_json(response->body) : watched.refusal();
  Refusal refusal = refusal_of(endpoints_[which].str(), response->status, body, true);
  return {std::nullopt, std::move(refusal.error), refusal.login || refusal.error.code == Code::kNotReady};
}

Status EtcdClient::watch(const std::string& prefix, Revision from, Deadline deadline, Canceller* canceller,
                         const std::function<bool(const Changes&)>& on_changes) {
  const auto cancelled = [canceller] { return canceller != nullptr && canceller->cancelled(); };
  std::optional<Error> trouble;
  milliseconds wait = kFirstPause;
  size_t failures = 0;
  bool worked = false;
  while (!deadline.expired() && !cancelled()) {
    const size_t which = current();
    WatchStream watched(from, on_changes);
    Attempt attempt = follow(which, prefix, watched, deadline, canceller);
    if (watched.created()) {
      worked = true;
      failures = 0;
      wait = kFirstPause;
      trouble.reset();
    }
    from = watched.from();
    if (cancelled()) break;
    if (!attempt.again) return attempt.answer ? Status() : Status(std::move(attempt.error));
    if (attempt.answer) continue;
    if (worked && failures == 0 && deadline.expired()) break;  // the last renewal had no time left
    trouble = std::move(attempt.error);
    turn_from(which);
    if (++failures % endpoints_.size() != 0) continue;
    pause(wait, deadline, canceller);
    wait = std::min(wait * 2, kLongestPause);
  }
  if (cancelled()) return Error(Code::kInterrupted, "the watch was cancelled");
  return trouble ? Status(std::move(*trouble)) : Status();
}

}  // namespace

Result<std::unique_ptr<Dcs>> make_etcd_client(EtcdSettings settings) {
  if (settings.endpoints.empty()) return Error(Code::kConfig, "the lease store has no address").with("try", "name one");
  std::vector<http::Endpoint> endpoints;
  for (const std::string& url : settings.endpoints) {
    auto endpoint = http::Endpoint::parse(url);
    if (!endpoint) {
      endpoint.error().code = Code::kConfig;
      return std::move(endpoint).error().in("lease store");
    }
    endpoint->tls = settings.tls;
    endpoints.push_back(std::move(*endpoint));
  }
  return std::unique_ptr<Dcs>(new EtcdClient(std::move(settings), std::move(endpoints)));
}

}  // namespace pgb::dcs
