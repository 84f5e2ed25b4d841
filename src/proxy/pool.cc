#include "proxy/pool.h"

#include <algorithm>
#include <iterator>

#include "base/log.h"

namespace pgb::proxy {
namespace {

constexpr int64_t kUnfair = 2'000'000;  // ns: waiting that much longer than ours is worth a move between threads
constexpr std::chrono::seconds kPatience{5};
constexpr std::chrono::seconds kKept{5};
constexpr int64_t kLongWait = 1'000'000'000;  // ns

std::string key_of(const NodeView& node) { return node.name + "@" + node.address(); }

}  // namespace

Pool::Pool(ReactorContext& context, std::string user, std::string database)
    : context_(context), user_(std::move(user)), database_(std::move(database)) {
  on_settings();
}

Pool::~Pool() {
  for (const auto& branch : branches_) {
    branch->quota->waiting[context_.index] = 0;
    branch->quota->idle[context_.index] = 0;
  }
  for (const auto& server : servers_) {
    if (server->state() == Server::State::kReady) context_.shared.greetings.server_went(user_, database_);
    server->close();
    branch(server->node()).quota->give_back();
  }
}

// A handful of nodes: comparing is cheaper than hashing, and nothing is allocated.
Pool::Branch& Pool::branch(const NodeView& node) {
  for (const auto& branch : branches_) {
    if (branch->node.port == node.port && branch->node.name == node.name && branch->node.host == node.host) {
      return *branch;
    }
  }
  auto made = std::make_unique<Branch>();
  made->node = node;
  made->quota = context_.shared.quotas.of(key_of(node), database_, user_);
  branches_.push_back(std::move(made));
  return *branches_.back();
}

Pool::Branch* Pool::find(const std::string& key) {
  for (const auto& branch : branches_) {
    if (key_of(branch->node) == key) return branch.get();
  }
  return nullptr;
}

Server* Pool::get(PoolClient& client, const NodeView& node, bool own) {
  Branch& from = branch(node);
  if (Server* server = from.idle.empty() ? nullptr : take_idle(from, client, own)) {
    if (!is_doubtful(*server)) return server;
    server->serve(this);
    server->ask(Purpose::kCheck, "");
    server->flush();
  }
  from.waiting.push({&client, context_.now_ns()});
  ++context_.stats.waits;
  note_waiting(from);
  open_for_waiters(from);
  return nullptr;
}

Server* Pool::take_idle(Branch& branch, const PoolClient& client, bool own) {
  const auto mine = [&](const Server* server) { return server->numbers_of == client.pool_client_id(); };
  auto found = branch.idle.rend();
  if (own) found = std::find_if(branch.idle.rbegin(), branch.idle.rend(), mine);
  if (found == branch.idle.rend()) {
    if (!branch.waiting.empty()) return nullptr;  // in its turn
    const auto free = [&](const Server* server) { return mine(server) || !is_kept(branch, *server); };
    found = std::find_if(branch.idle.rbegin(), branch.idle.rend(), free);
  }
  if (found == branch.idle.rend()) return nullptr;
  Server* server = *found;
  branch.idle.erase(std::next(found).base());
  --branch.quota->idle[context_.index];
  return server;
}

// For a session that drew a number of a sequence and may ask for it: as long as others can have another server.
bool Pool::is_kept(const Branch& branch, const Server& server) const {
  return server.kept && context_.loop.now() - server.idle_since < kKept && branch.quota->servers < limits_.pool_size;
}

// Where no others could be opened for those who wait.
void Pool::give_kept(Branch& branch) {
  while (!branch.waiting.empty() && !branch.idle.empty()) {
    Server& server = *branch.idle.front();
    const bool long_wait = context_.now_ns() - branch.waiting.front().second >= kLongWait;
    if (!long_wait && is_kept(branch, server)) return;
    branch.idle.erase(branch.idle.begin());
    --branch.quota->idle[context_.index];
    hand_over(branch, server);
  }
}

void Pool::hand_over(Branch& branch, Server& server) {
  PoolClient* client = branch.waiting.front().first;
  branch.waiting.pop();
  note_waiting(branch);
  client->server_given(server);
}

void Pool::forget(PoolClient& client) {
  for (const auto& owned : branches_) {
    Branch& branch = *owned;
    branch.waiting.erase_if([&](const Waiter& waiter) { return waiter.first == &client; });
    note_waiting(branch);
  }
}

void Pool::note_waiting(Branch& branch) {
  branch.quota->waiting[context_.index] = branch.waiting.empty() ? 0 : branch.waiting.front().second;
}

// As many servers as clients wait, within the limit; what other threads have to spare comes first.
void Pool::open_for_waiters(Branch& branch) {
  if (branch.waiting.empty()) return;
  const int spare = branch.quota->spare(context_.index);
  if (spare >= 0) {
    context_.shared.on(static_cast<unsigned>(spare), [user = user_, database = database_, key = key_of(branch.node),
                                                      me = context_.index](ReactorContext& other) {
      if (Pool* pool = other.pools->find(user, database)) pool->donate(key, me);
    });
  }
  if (context_.now_ns() < branch.retry_at) return;
  const unsigned limit = limit_of(branch, branch.waiting.front().second);
  while (branch.connecting < branch.waiting.size() && branch.quota->take(limit)) open(branch);
}

void Pool::open(Branch& branch) {
  ServerLogin login;
  login.user = user_;
  login.database = database_;
  login.known = credentials_;
  servers_.push_back(std::make_unique<Server>(context_, *this, branch.node, std::move(login)));
  ++branch.connecting;
  servers_.back()->connect();
}

void Pool::server_logged_in(Server& server) {
  Branch& to = branch(server.node());
  --to.connecting;
  context_.shared.greetings.server_came(user_, database_);
  if (to.node.role == NodeRole::kPrimary && is_standby(server)) return refuse_standby(to, server);
  to.retry_at = 0;
  last_failure_.clear();
  ++context_.shared.counters.sessions_total;
  serve_or_rest(to, server);
}

std::unique_ptr<Server> Pool::take_out(Server& server) {
  const auto found =
      std::find_if(servers_.begin(), servers_.end(), [&](const auto& other) { return other.get() == &server; });
  if (found == servers_.end()) return nullptr;
  std::unique_ptr<Server> out = std::move(*found);
  *found = std::move(servers_.back());
  servers_.pop_back();
  return out;
}

void Pool::server_closed(Server& server) {
  context_.shared.greetings.server_went(user_, database_);
  Branch& from = branch(server.node());
  const auto idle = std::find(from.idle.begin(), from.idle.end(), &server);
  if (idle != from.idle.end()) {
    from.idle.erase(idle);
    --from.quota->idle[context_.index];
  }
  from.quota->give_back();
  context_.bury(take_out(server));
  open_for_waiters(from);
}

void Pool::discard(Server& server) {
  server.close();
  server_closed(server);
}

void Pool::give_back(Server& server) {
  server.serve(nullptr);
  if (server.state() != Server::State::kReady) return;
  Branch& to = branch(server.node());
  const auto age = context_.loop.now() - server.made;
  const auto lifetime = context_.pool_settings.server_lifetime;
  if (lifetime.count() > 0 && age >= lifetime) server.retire = true;
  serve_or_rest(to, server);
}

void Pool::serve_or_rest(Branch& branch, Server& server) {
  if (server.retire || is_one_too_many(branch)) return discard(server);
  server.idle_since = context_.loop.now();
  const int64_t ours = branch.waiting.empty() ? 0 : branch.waiting.front().second;
  const bool kept = is_kept(branch, server) || server.says_more();
  const int other = kept ? -1 : branch.quota->neediest(context_.index, ours == 0 ? 0 : ours - kUnfair);
  if (other >= 0 && give_away(branch, server, static_cast<unsigned>(other))) return;
  if (!branch.waiting.empty() && !kept) return hand_over(branch, server);
  branch.idle.push_back(&server);
  ++branch.quota->idle[context_.index];
  // Another thread's client may have begun to wait just before it could see this server.
  const int late = server.says_more() ? -1 : branch.quota->neediest(context_.index, 0);
  if (late >= 0) donate(key_of(branch.node), static_cast<unsigned>(late));
}

bool Pool::give_away(Branch& branch, Server& server, unsigned to) {
  std::unique_ptr<Server> own = take_out(server);
  if (!own) return false;
  own->detach();
  branch.quota->waiting[to] = 0;  // it sets it anew when more are waiting: one server is enough for one
  auto parcel = std::make_shared<std::unique_ptr<Server>>(std::move(own));
  // After the round in progress: it may be the server's own event that brought us here.
  context_.loop.post([&shared = context_.shared, to, user = user_, database = database_, parcel] {
    shared.on(to, [user, database, parcel](ReactorContext& other) {
      other.pools->of(user, database).adopt(std::move(*parcel));
    });
  });
  return true;
}

void Pool::donate(const std::string& node, unsigned to) {
  Branch* found = find(node);
  if (found == nullptr || found->idle.empty()) return;
  Branch& from = *found;
  const auto free =
      std::find_if(from.idle.begin(), from.idle.end(), [&](const Server* s) { return !is_kept(from, *s); });
  if (free == from.idle.end()) return;
  Server* server = *free;
  from.idle.erase(free);
  --from.quota->idle[context_.index];
  give_away(from, *server, to);
}

void Pool::adopt(std::unique_ptr<Server> server) {
  Server& mine = *server;
  servers_.push_back(std::move(server));
  mine.attach(context_, *this);
  Branch& to = branch(mine.node());
  // What was ordered while it was on its way.
  if (context_.orders->pauses(database_) || mine.node().gauge->drained || mine.made < made_before_) mine.retire = true;
  if (!to.waiting.empty() && !mine.retire) return hand_over(to, mine);
  note_waiting(to);
  serve_or_rest(to, mine);
}

void Pool::clean_up(Server& server) {
  server.serve(this);
  if (server.status() != pgwire::TxnStatus::kIdle) server.ask(Purpose::kClean, "ROLLBACK");
  server.ask(Purpose::kClean, "DISCARD ALL");
  server.forget_all();
  server.tainted = server.kept = false;
  server.numbers_of = Server::kNobody;
  server.set_parameters(context_.shared.sets.none());
  server.flush();
}

void Pool::roll_back(Server& server) {
  server.serve(this);
  server.ask(Purpose::kClean, "ROLLBACK");
  server.flush();
}

void Pool::server_answered(Server& server, Purpose, InternalAnswer answer) {
  if (is_ending(server)) return;
  if (answer.error) server.retire = true;
  if (server.idle()) give_back(server);
}

void Pool::on_topology() {
  // Told at the end: they come back at once, and may make a branch of their own.
  std::vector<Waiter> displaced;
  for (const auto& owned : branches_) {
    Branch& branch = *owned;
    const NodeView* now = context_.topology->find(branch.node.name);
    const bool same = now != nullptr && now->address() == branch.node.address() && now->healthy;
    const bool changed = !same || now->role != branch.node.role;
    if (now != nullptr) branch.node.role = now->role, branch.node.tls_host = now->tls_host;
    branch.retry_at = 0;
    if (!same) {
      retire(branch);
    }
    if (changed) displace(branch, displaced);
  }
  for (const auto& [client, since] : displaced) client->node_changed();
}

void Pool::displace(Branch& branch, std::vector<Waiter>& displaced) {
  displaced.insert(displaced.end(), branch.waiting.begin(), branch.waiting.end());
  branch.waiting.clear();
  note_waiting(branch);
}

void Pool::retire(Branch& branch) {
  for (const auto& server : servers_) {
    if (server->node().address() == branch.node.address()) server->retire = true;
  }
  while (!branch.idle.empty()) discard(*branch.idle.back());
}

void Pool::retire(const std::string& node) {
  made_before_ = context_.loop.now();
  for (const auto& branch : branches_) {
    if (node.empty() || branch->node.name == node) retire(*branch);
  }
}

void Pool::on_orders() {
  std::vector<Waiter> displaced;
  const bool paused = context_.orders->pauses(database_);
  for (const auto& branch : branches_) {
    if (!paused && !branch->node.gauge->drained) continue;
    displace(*branch, displaced);
    retire(*branch);
  }
  for (const auto& [client, since] : displaced) client->node_changed();
}

void Pool::tick() {
  const auto now = context_.loop.now();
  look_at_endings();
  std::vector<Server*> silent;  // asked by us for a sign of life, or to be cleaned, and dumb
  for (const auto& server : servers_) {
    const bool is_ours = server->user() == this && now - server->busy_since >= kPatience;
    if (is_ours && !is_ending(*server)) silent.push_back(server.get());
  }
  for (Server* server : silent) discard(*server);
  for (size_t i = 0; i < branches_.size(); ++i) {  // who is given a server may want one of a node that is new here
    Branch& branch = *branches_[i];
    open_for_waiters(branch);
    give_kept(branch);
    discard_some(branch);
  }
  if (sessions > 0) keep_warm();
}

bool Pool::unused() const {
  if (!servers_.empty() || sessions > 0) return false;
  return std::all_of(branches_.begin(), branches_.end(), [](const auto& b) { return b->waiting.empty(); });
}

Pool& Pools::of(const std::string& user, const std::string& database) {
  std::unique_ptr<Pool>& slot = pools_[{user, database}];
  if (!slot) slot = std::make_unique<Pool>(context_, user, database);
  return *slot;
}

Pool* Pools::find(const std::string& user, const std::string& database) {
  const auto found = pools_.find({user, database});
  return found == pools_.end() ? nullptr : found->second.get();
}

void Pools::on_orders() {
  for (auto& [key, pool] : pools_) pool->on_orders();
}

void Pools::on_settings() {
  for (auto& [key, pool] : pools_) pool->on_settings();
}

void Pools::on_topology() {
  for (auto& [key, pool] : pools_) pool->on_topology();
}

void Pools::tick() {
  for (auto it = pools_.begin(); it != pools_.end();) {
    it->second->tick();
    if (!it->second->unused()) {
      ++it;
      continue;
    }
    remember(*it->second);
    it = pools_.erase(it);
  }
  keep_configured();
}

}  // namespace pgb::proxy
