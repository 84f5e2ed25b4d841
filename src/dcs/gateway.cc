#include "dcs/gateway.h"

#include <array>
#include <utility>

#include "dcs/etcd_json.h"
#include "http/server.h"

namespace pgb::dcs {
namespace {

using http::Response;

constexpr auto kSlice = std::chrono::milliseconds(250);  // see http::Response::more

struct GrpcStatus {
  Code code;
  int grpc;
  int http;
};
constexpr GrpcStatus kUnknown = {Code::kInDoubt, 2, 500};
constexpr std::array<GrpcStatus, 8> kStatuses = {{
    {Code::kProtocol, 3, 400},
    {Code::kNotFound, 5, 404},
    {Code::kDiskFull, 8, 429},
    {Code::kIo, 9, 400},  // what the log could not take was not executed: the client has to know
    {Code::kCompacted, 11, 400},
    {Code::kNotReady, 14, 503},
    {Code::kAuth, 16, 401},
    kUnknown,
}};

// In the words of etcd where its clients look for them.
std::string words_of(const Error& error) {
  if (error.code == Code::kNotReady) return "etcdserver: too many requests";
  if (error.code == Code::kDiskFull) return "etcdserver: mvcc: database space exceeded: " + error.message;
  if (error.code == Code::kNotFound) return "etcdserver: requested lease not found: " + error.message;
  return "etcdserver: " + error.message;
}

Response json_answer(int status, const Json& body) {
  Response response;
  response.status = status;
  response.headers["content-type"] = "application/json";
  response.body = body.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
  return response;
}

Response refuse(const Error& error) {
  GrpcStatus status = kUnknown;
  for (const GrpcStatus& row : kStatuses) {
    if (row.code == error.code) status = row;
  }
  const std::string text = words_of(error);
  return json_answer(status.http, {{"error", text}, {"message", text}, {"code", status.grpc}});
}

Json header_of(Revision revision) {
  return {{"cluster_id", "1"}, {"member_id", "1"}, {"revision", std::to_string(revision)}, {"raft_term", "1"}};
}

// Memory and a local log have no use for one.
Deadline no_limit() { return Deadline::never(); }

Response range(LocalStore& store, const Json& body) {
  auto range = read_range(body);
  if (!range) return refuse(range.error());
  auto revision = read_number(body, "revision");
  if (!revision || *revision != 0) return refuse(Error(Code::kProtocol, "this store reads the newest revision only"));
  auto snapshot = store.range(*range, no_limit());
  if (!snapshot) return refuse(snapshot.error());
  Json answer = write_op_result(Op::get(*range), {snapshot->kvs, 0}, Json::object())["response_range"];
  answer["header"] = header_of(snapshot->revision);
  return json_answer(200, answer);
}

Response txn(LocalStore& store, const Json& body) {
  auto txn = read_txn(body);
  if (!txn) return refuse(txn.error());
  auto done = store.txn(*txn, no_limit());
  if (!done) return refuse(done.error());
  const Json header = header_of(done->revision);
  Json responses = Json::array();
  const std::vector<Op>& ops = done->succeeded ? txn->then : txn->otherwise;
  for (size_t i = 0; i < ops.size(); ++i) responses.push_back(write_op_result(ops[i], done->results[i], header));
  return json_answer(200, {{"header", header}, {"succeeded", done->succeeded}, {"responses", std::move(responses)}});
}

Response put(LocalStore& store, const Json& body) {
  Json op = Json::object();
  op["request_put"] = body;
  Json request = Json::object();
  request["success"].push_back(std::move(op));
  auto txn = read_txn(request);
  if (!txn) return refuse(txn.error());
  auto done = store.txn(*txn, no_limit());
  if (!done) return refuse(done.error());
  return json_answer(200, {{"header", header_of(done->revision)}});
}

Response grant(LocalStore& store, const Json& body) {
  auto ttl = read_number(body, "TTL");
  if (!ttl) return refuse(ttl.error());
  auto lease = store.grant(std::chrono::seconds(*ttl), no_limit());
  if (!lease) return refuse(lease.error());
  return json_answer(200, {{"header", header_of(store.revision())},
                           {"ID", std::to_string(lease->id)},
                           {"TTL", std::to_string(lease->ttl.count())}});
}

Response keep_alive(LocalStore& store, const Json& body) {
  auto id = read_number(body, "ID");
  if (!id) return refuse(id.error());
  Json result = {{"header", header_of(store.revision())}, {"ID", std::to_string(*id)}};
  auto ttl = store.keep_alive(*id, no_limit());
  if (!ttl && ttl.error().code != Code::kNotFound) return refuse(ttl.error());
  if (ttl) result["TTL"] = std::to_string(ttl->count());
  return json_answer(200, {{"result", std::move(result)}});
}

Response revoke(LocalStore& store, const Json& body) {
  auto id = read_number(body, "ID");
  if (!id) return refuse(id.error());
  const Status done = store.revoke(*id, no_limit());
  return done.ok() ? json_answer(200, {{"header", header_of(store.revision())}}) : refuse(done.error());
}

Response time_to_live(LocalStore& store, const Json& body) {
  auto id = read_number(body, "ID");
  if (!id) return refuse(id.error());
  Json answer = {{"header", header_of(store.revision())}, {"ID", std::to_string(*id)}, {"TTL", "-1"}};
  auto info = store.time_to_live(*id, no_limit());
  if (!info && info.error().code != Code::kNotFound) return refuse(info.error());
  if (!info) return json_answer(200, answer);
  answer["TTL"] = std::to_string(info->remaining.count());
  answer["grantedTTL"] = std::to_string(info->granted.count());
  if (read_flag(body, "keys")) {
    for (const std::string& key : info->keys) answer["keys"].push_back(write_kv({key, {}, 0, 0, 0, 0})["key"]);
  }
  return json_answer(200, answer);
}

using Row = std::pair<std::string_view, Response (*)(LocalStore&, const Json&)>;
constexpr std::array<Row, 9> kRoutes = {{
    {"/v3/kv/range", range},
    {"/v3/kv/put", put},
    {"/v3/kv/txn", txn},
    {"/v3/lease/grant", grant},
    {"/v3/lease/keepalive", keep_alive},
    {"/v3/lease/revoke", revoke},
    {"/v3/kv/lease/revoke", revoke},
    {"/v3/lease/timetolive", time_to_live},
    {"/v3/kv/lease/timetolive", time_to_live},
}};

std::string line(const Json& result) { return Json{{"result", result}}.dump() + "\n"; }

// One watch that a client has open.
class OpenWatch {
 public:
  OpenWatch(LocalStore& store, std::string prefix, Revision from, std::shared_ptr<std::atomic<int>> count)
      : store_(store), prefix_(std::move(prefix)), from_(from), count_(std::move(count)) {}
  OpenWatch(const OpenWatch&) = delete;
  OpenWatch& operator=(const OpenWatch&) = delete;
  ~OpenWatch() { --*count_; }

  std::optional<std::string> next() {
    if (over_) return std::nullopt;
    auto changes = store_.next_changes(prefix_, from_, Deadline::after(kSlice), nullptr);
    if (!changes) {
      over_ = true;
      return line({{"header", header_of(store_.revision())},
                   {"canceled", true},
                   {"cancel_reason", changes.error().message},
                   {"compact_revision", std::to_string(store_.revision())}});
    }
    from_ = changes->revision + 1;
    if (changes->events.empty()) return std::string();
    Json events = Json::array();
    for (const Event& event : changes->events) events.push_back(write_event(event));
    return line({{"header", header_of(changes->revision)}, {"events", std::move(events)}});
  }

 private:
  LocalStore& store_;
  const std::string prefix_;
  Revision from_;
  const std::shared_ptr<std::atomic<int>> count_;
  bool over_ = false;
};

Response watch(LocalStore& store, const Json& body, const std::shared_ptr<std::atomic<int>>& count) {
  const Json& create = member(body, "create_request");
  auto range = read_range(create);
  if (!range) return refuse(range.error());
  if (!range->prefix) return refuse(Error(Code::kProtocol, "this store watches prefixes only"));
  auto from = read_number(create, "start_revision");
  if (!from) return refuse(from.error());
  const Revision now = store.revision();
  if (++*count > Gateway::kMostWatches) {
    --*count;
    return refuse(Error(Code::kNotReady, "too many watches"));
  }
  auto open = std::make_shared<OpenWatch>(store, range->key, *from == 0 ? now + 1 : *from, count);
  Response response = json_answer(200, {});
  response.body = line({{"header", header_of(now)}, {"created", true}});
  response.more = [open] { return open->next(); };
  return response;
}

}  // namespace

Gateway::Gateway(LocalStore& store, std::string user, Secret password)
    : store_(store), user_(std::move(user)), password_(std::move(password)), token_(Secret::random(16)) {}

http::Response Gateway::handle(const http::Request& request) {
  if (request.method != "POST") return http::problem(405, "this is etcd's JSON interface: POST only");
  const Json body = parse_json(request.body);
  if (!body.is_object()) return refuse(Error(Code::kProtocol, "the body is no JSON object"));
  if (request.target == "/v3/auth/authenticate") {
    const Json& name = member(body, "name");
    const Json& password = member(body, "password");
    const bool known =
        !user_.empty() && name == user_ && password.is_string() && password_.equals(password.get<std::string>());
    if (!known) return refuse(Error(Code::kProtocol, "authentication failed, invalid user ID or password"));
    return json_answer(200, {{"header", header_of(store_.revision())}, {"token", token_.reveal()}});
  }
  if (!user_.empty()) {
    const auto given = request.headers.find("authorization");
    if (given == request.headers.end()) return refuse(Error(Code::kProtocol, "user name is empty"));
    if (!token_.equals(given->second)) return refuse(Error(Code::kAuth, "invalid auth token"));
  }
  http::Response response = answer(request.target, body);
  response.known = true;
  return response;
}

http::Response Gateway::answer(const std::string& target, const nlohmann::json& body) {
  if (target == "/v3/watch") return watch(store_, body, watches_);
  for (const auto& [path, answer] : kRoutes) {
    if (target == path) return answer(store_, body);
  }
  return http::problem(404, "the embedded lease store has no " + target);
}

}  // namespace pgb::dcs
