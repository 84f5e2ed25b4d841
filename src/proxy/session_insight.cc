// What a client may ask of its own requests: where they go, and why.
#include "proxy/session.h"

namespace pgb::proxy {
namespace {

constexpr std::string_view kSpace = " \t\r\n";

// The rest of the text if it begins with that word; nothing otherwise. The word is in lower case.
std::optional<std::string_view> after(std::string_view text, std::string_view word) {
  const size_t at = text.find_first_not_of(kSpace);
  if (at == std::string_view::npos || text.size() - at < word.size()) return std::nullopt;
  if (lower(text.substr(at, word.size())) != word) return std::nullopt;
  return text.substr(at + word.size());
}

// The statement of EXPLAIN (ROUTE) statement.
std::optional<std::string_view> asks_for_route_of(std::string_view text) {
  std::optional<std::string_view> rest = text;
  for (const char* word : {"explain", "(", "route", ")"}) {
    rest = after(*rest, word);
    if (!rest) return std::nullopt;
  }
  const size_t begin = rest->find_first_not_of(kSpace);  // as it would come by itself
  return begin == std::string_view::npos ? std::string_view() : rest->substr(begin);
}

// SHOW POOL_NODES and the like, PGPOOL SHOW …: pgpool-II's commands, which no server knows.
bool asks_as_pgpool(std::string_view text) {
  constexpr size_t kLongest = 200;
  if (text.size() > kLongest) return false;
  if (after(text, "pgpool")) return true;
  const auto rest = after(text, "show");
  return rest && after(*rest, "pool_");
}

}  // namespace

// SHOW pgbalancer.route, EXPLAIN (ROUTE) …: every query passes here, few are meant.
bool Session::answer_question(std::string_view text) {
  constexpr std::string_view kShow = "show pgbalancer.route";
  const char first = text.size() < 2 ? ' ' : text[0];
  const bool asks =
      first == 'p' || first == 'P' || ((first == 's' || first == 'S') && (text[1] == 'h' || text[1] == 'H'));
  if (asks && asks_as_pgpool(text) && context_.shared.console.get()) {
    ask_console({user(), peer_, false}, std::string(text));
    return true;
  }
  if (first == 's' || first == 'S') {
    if (text.size() < kShow.size() || text.size() > kShow.size() + 2 || !after(text, kShow)) return false;
    send_rows({"node", "reason"}, {route_node_, route_reason_}, "SHOW");
    return true;
  }
  if (first != 'e' && first != 'E') return false;
  const auto statement = asks_for_route_of(text);
  if (statement) explain_route(*statement);
  return statement.has_value();
}

// A query that is such a question. What the console has to say comes later.
bool Session::answer_if_asked(Input& in, std::string_view text, size_t total) {
  if (!answer_question(text)) return false;
  drop(in, total);
  if (!asking_) send_ready();
  return true;
}

// The times are those of the loop's rounds, which are taken anyway.
void Session::note_answered(const Server& server) {
  const auto now = context_.loop.now();
  const uint64_t took = microseconds(now - last_active_);
  const uint64_t worked = std::min(took, microseconds(now - server.busy_since));  // without the wait for a server
  Traffic& traffic = pool_->traffic;
  ++traffic.requests;
  traffic.request_us += worked;
  traffic.latency.note(took);
  server.node().gauge->note_latency(worked);
  context_.routes.note_answer(server.node(), took);
  const auto slow = context_.pool_settings.log_slow_queries;
  if (slow.count() > 0 && now - request_since_ >= slow) log_slow(now - request_since_);
}

// Nothing is run, and what SHOW pgbalancer.route says stays as it was.
void Session::explain_route(std::string_view text) {
  const Look look = look_at(text);
  const NodeView* node = nullptr;
  std::string reason;
  if (server_ != nullptr) {
    node = &server_->node();
    const std::string bound = bound_by();
    reason = bound.empty() ? "a transaction is open there" : "the session is bound to its server: " + bound;
  } else {
    std::string kept = route_reason_;
    const bool replica = routed_replica_;
    node = choose(look);
    reason = std::exchange(route_reason_, std::move(kept));
    routed_replica_ = replica;
  }
  send_rows({"node", "role", "reason", "verdict"},
            {node == nullptr ? "none" : node->name, node == nullptr ? "unknown" : to_string(node->role), reason,
             to_string(look.meaning)},
            "EXPLAIN");
}

void Session::send_rows(const std::vector<std::string>& columns, const std::vector<std::string>& values,
                        std::string_view tag) {
  pgwire::RowDescription description;
  pgwire::DataRow row;
  for (const std::string& name : columns) {
    pgwire::FieldDescription field;
    field.name = name;
    description.fields.push_back(field);
  }
  for (const std::string& value : values) row.values.emplace_back(value);
  std::string bytes;
  pgwire::encode(bytes, description);
  pgwire::encode(bytes, row);
  pgwire::encode(bytes, pgwire::CommandComplete{std::string(tag)});
  send_client(bytes);
}

// A session that is bound to a replica's server cannot write; PostgreSQL's own words would not say why.
bool Session::refuse_write_where_it_is_bound(const Look& look) {
  if (look.verdict == nullptr || !server_->quiet()) return false;
  if (!look.verdict->writes && !look.verdict->changes_catalog) return false;
  skip_request("25006", "cannot write: the session is bound to the replica " + route_node_ + " because " + pinned_,
               "Close what binds it, or make it outside of a READ ONLY transaction: then it is at the primary.");
  return true;
}

}  // namespace pgb::proxy
