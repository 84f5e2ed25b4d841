// The proxy as the control surfaces see it: orders, and lists of what there is.
#include <map>
#include <set>
#include <thread>

#include "base/log.h"
#include "proxy/proxy.h"
#include "proxy/router.h"
#include "proxy/survey.h"

namespace pgb::proxy {
namespace {

constexpr std::chrono::milliseconds kLookAgain{5};
constexpr char kDismissed[] = "terminating connection due to administrator command";

std::string count_of(uint64_t number, const std::string& what) {
  return std::to_string(number) + " " + what + (number == 1 ? "" : "s");
}

// The rest of a sentence that begins with what holds now.
std::string progress(const Outcome& outcome) {
  std::string text =
      outcome.busy == 0 ? "no server is busy any more" : count_of(outcome.busy, "server") + " still busy";
  if (outcome.bound > 0) text += ", " + std::to_string(outcome.bound) + " kept by clients that are bound to them";
  return text;
}

std::string name_of(const std::string& database) { return database.empty() ? "all databases" : "database " + database; }

}  // namespace

// collect(context, rows) runs on each reactor's thread.
template <class Row, class Collect>
std::vector<Row> Proxy::ask_all(Collect collect) const {
  auto survey = std::make_shared<Survey<Row>>(reactors_.size());
  for (const auto& reactor : reactors_) {
    reactor->run([survey, collect](ReactorContext& context) {
      std::vector<Row> rows;
      collect(context, rows);
      survey->add(std::move(rows));
    });
  }
  return survey->wait();
}

std::vector<ClientRow> Proxy::clients() const {
  auto survey = std::make_shared<Survey<ClientRow>>(reactors_.size());
  for (const auto& reactor : reactors_) reactor->list_clients(survey);
  return survey->wait();
}

std::vector<ServerRow> Proxy::servers() const {
  return ask_all<ServerRow>([](ReactorContext& context, std::vector<ServerRow>& rows) {
    context.pools->each([&](const Pool& pool) { pool.list(rows); });
  });
}

std::vector<CacheRow> Proxy::caches() const {
  const auto parts = ask_all<CacheRow>([](ReactorContext& context, std::vector<CacheRow>& rows) {
    context.router->each_cache([&](const std::string& database, const sql::VerdictCache& cache) {
      rows.push_back({database, cache.size(), cache.bytes(), cache.hits(), cache.misses()});
    });
  });
  std::map<std::string, CacheRow> sums;
  for (const CacheRow& part : parts) {
    CacheRow& sum = sums[part.database];
    sum.database = part.database;
    sum.entries += part.entries;
    sum.bytes += part.bytes;
    sum.hits += part.hits;
    sum.misses += part.misses;
  }
  std::vector<CacheRow> rows;
  for (auto& [database, sum] : sums) rows.push_back(std::move(sum));
  return rows;
}

Outcome Proxy::forget_statements(const std::string& database) {
  const auto forgotten = ask_all<CacheRow>([database](ReactorContext& context, std::vector<CacheRow>& rows) {
    context.router->each_cache([&](const std::string& name, sql::VerdictCache& cache) {
      if (!database.empty() && name != database) return;
      rows.push_back({name, cache.size(), 0, 0, 0});
      cache.clear();
    });
  });
  std::set<std::string> databases;
  uint64_t entries = 0;
  for (const CacheRow& part : forgotten) databases.insert(part.database), entries += part.entries;
  for (const std::string& name : databases) catalogs_.stale(name, {});
  Outcome outcome;
  outcome.text = "forgotten: " + count_of(entries, "statement") + " of " + name_of(database);
  log::info(outcome.text);
  return outcome;
}

OrdersPtr Proxy::orders() const {
  const std::lock_guard lock(mutex_);
  return orders_;
}

// One change at a time, and each thread is given them in the same order.
void Proxy::change_orders(Orders next) {
  orders_ = std::make_shared<const Orders>(std::move(next));
  mark_drained(*topology_);
  for (const auto& reactor : reactors_) reactor->give(orders_);
  if (orders_elsewhere_) orders_elsewhere_(*orders_);
}

template <class Change>
void Proxy::order(Change change) {
  const std::lock_guard lock(mutex_);
  Orders next = *orders_;
  change(next);
  change_orders(std::move(next));
}

// Of an operator.
template <class Change>
Status Proxy::command(Change change) {
  const std::lock_guard lock(mutex_);
  if (orders_are_given_) {
    return Error(Code::kBusy, "another process takes over from this balancer")
        .with("changed", "nothing")
        .with("try", "the same again: the other process answers in a moment");
  }
  Orders next = *orders_;
  change(next);
  change_orders(std::move(next));
  return Status();
}

OrdersPtr Proxy::give_orders() {
  const std::lock_guard lock(mutex_);
  orders_are_given_ = true;
  return orders_;
}

void Proxy::keep_orders() {
  const std::lock_guard lock(mutex_);
  orders_are_given_ = false;
}

void Proxy::set_orders_elsewhere(std::function<void(const Orders&)> tell) {
  const std::lock_guard lock(mutex_);
  orders_elsewhere_ = std::move(tell);
  if (orders_elsewhere_) orders_elsewhere_(*orders_);
}

void Proxy::mark_drained(const TopologySnapshot& topology) const {
  for (const NodeView& node : topology.nodes) {
    const bool drained = node.name == orders_->leaving || orders_->drained.count(node.name) != 0;
    if (node.gauge->drained.exchange(drained) == drained) continue;
    node.gauge->changed_ns = std::chrono::nanoseconds(std::chrono::steady_clock::now().time_since_epoch()).count();
  }
}

Status Proxy::check_node(const std::string& name) const {
  const TopologyPtr now = topology();
  if (now->find(name) != nullptr) return Status();
  return Error(Code::kNoNode, "there is no node " + name).with("nodes", now->describe());
}

// Looks until no server of the node and database (empty: of all) is busy, for so long at most.
Outcome Proxy::taken(const std::string& node, const std::string& database, Time wait) const {
  const Deadline deadline = Deadline::after(wait);
  for (;;) {
    const auto parts = ask_all<Outcome>([node, database](ReactorContext& context, std::vector<Outcome>& rows) {
      Outcome part;
      context.pools->each([&](const Pool& pool) {
        if (database.empty() || pool.database() == database) pool.count_taken(node, part.busy, part.bound);
      });
      context.each_session([&](Session& session) {
        if (session.is_dedicated() && session.has_server_of(node)) ++part.bound;
      });
      rows.push_back(part);
    });
    Outcome sum;
    for (const Outcome& part : parts) sum.busy += part.busy, sum.bound += part.bound;
    sum.done = sum.busy == 0;
    if (sum.done || deadline.expired() || waits_end_) return sum;
    std::this_thread::sleep_for(kLookAgain);
  }
}

Result<Outcome> Proxy::pause(const std::string& database, Time wait) {
  PGB_TRY(command([&](Orders& orders) {
    if (database.empty()) {
      orders.paused = true;
    } else {
      orders.paused_databases.insert(database);
    }
  }));
  log::info("paused: " + name_of(database));
  Outcome outcome = taken("", database, wait);
  outcome.text = "paused: " + name_of(database) + "; " + progress(outcome);
  return outcome;
}

Result<Outcome> Proxy::resume(const std::string& database) {
  if (!database.empty() && orders()->paused) {
    return Error(Code::kUsage, "all databases are paused, so " + database + " alone cannot be resumed")
        .with("try", "resume without a database");
  }
  PGB_TRY(command([&](Orders& orders) {
    orders.paused_databases.erase(database);
    if (!database.empty()) return;
    orders.paused = false;
    orders.paused_databases.clear();
  }));
  log::info("resumed: " + name_of(database));
  Outcome outcome;
  outcome.text = "resumed: " + name_of(database);
  return outcome;
}

Result<Outcome> Proxy::drain(const std::string& node, std::optional<Time> limit, Time wait) {
  PGB_TRY(check_node(node));
  PGB_TRY(command([&](Orders& orders) { orders.drained.insert(node); }));
  log::info("drained: node " + node);
  if (limit) {
    for (const auto& reactor : reactors_) {
      reactor->run([node, limit = *limit](ReactorContext& context) {
        context.loop.after(limit, [node, &context] {
          if (context.orders->drained.count(node) == 0) return;
          context.each_session([&](Session& session) {
            if (session.has_server_of(node)) session.dismiss(kDismissed, "The node " + node + " is drained.");
          });
        });
      });
    }
  }
  Outcome outcome = taken(node, "", wait);
  outcome.done = outcome.busy + outcome.bound == 0;
  outcome.text = "drained: node " + node + "; " + progress(outcome);
  const NodeView* primary = topology()->primary();
  if (primary != nullptr && primary->name == node) outcome.text += "; it is the primary: writes wait for another one";
  return outcome;
}

Result<Outcome> Proxy::undrain(const std::string& node) {
  if (orders()->drained.count(node) == 0) PGB_TRY(check_node(node));
  PGB_TRY(command([&](Orders& orders) { orders.drained.erase(node); }));
  log::info("undrained: node " + node);
  Outcome outcome;
  outcome.text = "undrained: node " + node + " gets work again";
  return outcome;
}

bool Proxy::let_leave(const std::string& node, Time wait) {
  const bool news = orders()->leaving != node;
  if (news) order([&](Orders& orders) { orders.leaving = node; });
  if (node.empty()) return true;
  const bool quiet = taken(node, "", wait).busy == 0;  // also if it leaves already: who asks again wants to know
  if (!news) return quiet;
  log::info("node " + node + " is about to hand over: new work waits for the next primary" +
            (quiet ? "" : ", what is under way may break off"));
  return quiet;
}

Result<Outcome> Proxy::reconnect(const std::string& node, const std::string& database, Time wait) {
  if (!node.empty()) PGB_TRY(check_node(node));
  ask_all<char>([node, database](ReactorContext& context, std::vector<char>&) {
    context.pools->each([&](Pool& pool) {
      if (database.empty() || pool.database() == database) pool.retire(node);
    });
  });
  Outcome outcome = wait_close(node, database, wait);
  outcome.text = "servers of " + (node.empty() ? "all nodes" : "node " + node) + ", " + name_of(database) +
                 ", are replaced; " + progress(outcome);
  log::info(outcome.text);
  return outcome;
}

Outcome Proxy::wait_close(const std::string& node, const std::string& database, Time wait) {
  const Deadline deadline = Deadline::after(wait);
  Outcome outcome;
  do {
    outcome = Outcome();
    for (const ServerRow& server : servers()) {
      const bool concerned =
          server.retiring && (node.empty() || server.node == node) && (database.empty() || server.database == database);
      if (concerned) ++(server.state == "bound" ? outcome.bound : outcome.busy);
    }
    outcome.done = outcome.busy + outcome.bound == 0;
    if (outcome.done || deadline.expired() || waits_end_) break;
    std::this_thread::sleep_for(kLookAgain);
  } while (true);
  outcome.text = "waited for servers that are to be closed; " + progress(outcome);
  return outcome;
}

Result<Outcome> Proxy::kill_client(const std::string& id) {
  const auto ended = ask_all<char>([id](ReactorContext& context, std::vector<char>& rows) {
    context.each_session([&](Session& session) {
      if (session.row_id() != id || session.state() == Session::State::kClosed) return;
      session.dismiss(kDismissed, "The client is ended.");
      rows.push_back('x');
    });
  });
  if (ended.empty())
    return Error(Code::kNotFound, "there is no client " + id).with("try", "the ids in the list of clients");
  Outcome outcome;
  outcome.ended = ended.size();
  outcome.text = "killed: client " + id;
  log::info(outcome.text);
  return outcome;
}

Outcome Proxy::kill(const std::string& database) {
  const auto ended = ask_all<char>([database](ReactorContext& context, std::vector<char>& rows) {
    context.each_session([&](Session& session) {
      if (!session.is_at(database) || session.state() == Session::State::kClosed) return;
      session.dismiss(kDismissed, "All sessions of the database are ended.");
      rows.push_back('x');
    });
  });
  Outcome outcome;
  outcome.ended = ended.size();
  outcome.text = "killed: " + count_of(ended.size(), "session") + " of database " + database;
  log::info(outcome.text);
  return outcome;
}

void Proxy::finish() {
  set_accepting(Reactor::Accepting::kClose);
  order([](Orders& orders) { orders.finishing = true; });
}

void Proxy::set_accepting(Reactor::Accepting how) {
  auto survey = std::make_shared<Survey<char>>(reactors_.size());
  for (const auto& reactor : reactors_) reactor->set_accepting(how, survey);
  survey->wait();
}

std::vector<int> Proxy::listeners() const {
  std::vector<int> fds;
  for (const auto& reactor : reactors_) {
    for (const os::UniqueFd& listener : reactor->listeners()) fds.push_back(listener.get());
  }
  return fds;
}

void Proxy::accept(bool yes) { set_accepting(yes ? Reactor::Accepting::kYes : Reactor::Accepting::kNo); }

void Proxy::hand_over() {
  handed_over_ = true;
  counters_.last_write_ns = kNeverCaughtUp;
  set_accepting(Reactor::Accepting::kClose);
  for (const auto& reactor : reactors_) {
    reactor->run([](ReactorContext& context) {
      context.each_session([](Session& session) {  // they ask the process that serves, and would stay for ever
        if (session.is_at_console()) session.dismiss(kDismissed, "Another process has taken over.");
      });
    });
  }
}

void Proxy::inherit(const Orders& orders) {
  counters_.last_write_ns = kNeverCaughtUp;
  order([&](Orders& ours) { copy_commands(orders, ours); });
}

void Proxy::obey(const Orders& orders) {
  order([&](Orders& ours) { copy_commands(orders, ours); });
}

void Proxy::outlived() {
  if (handed_over_) return;  // there is another one to be afraid of
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  counters_.last_write_ns = std::chrono::duration_cast<std::chrono::nanoseconds>(now).count();
}

}  // namespace pgb::proxy
