// What an operator's orders mean for a session, and what it tells about itself.
#include "base/log.h"
#include "pgwire/error_response.h"
#include "proxy/session.h"

namespace pgb::proxy {
namespace {

namespace sqlstate = pgwire::sqlstate;

double seconds_since(net::EventLoop::Clock::time_point then, net::EventLoop::Clock::time_point now) {
  return std::chrono::duration<double>(now - then).count();
}

}  // namespace

bool Session::is_kept_back() const {
  if (!context_.keeping_back || dedicated_ || pool_ == nullptr) return false;
  return context_.orders->finishing || context_.orders->pauses(database());
}

// How long a request may wait for its turn.
Deadline Session::queue_limit() const {
  const auto limit = context_.pool_settings.query_wait_timeout;
  return limit.count() > 0 ? Deadline::after(limit, context_.loop.now()) : Deadline::never();
}

// Nothing is begun: the session waits for an order that lets it, or ends with the balancer.
Session::Step Session::keep_back() {
  if (context_.orders->finishing) {
    shuts_down();
    return Step::kWait;
  }
  if (!std::exchange(waiting_, true)) wait_until_ = queue_limit();
  return Step::kWait;
}

// Whether a session that has a server must not begin its next request there. What goes before is waited for.
bool Session::waits_here() {
  if (!is_kept_back()) return false;
  if (server_->idle()) {
    transaction_since_ = context_.loop.now();
    keep_back();
    return true;
  }
  if (server_->quiet() || server_->skipping()) return false;  // in a transaction, or before a Sync that is to come
  waiting_ = waiting_quiet_ = true;
  wait_until_ = Deadline::never();
  return true;
}

// Nothing of its work would be lost.
bool Session::is_between_transactions() const {
  if (state_ != State::kReady || server_ == nullptr || dedicated_) return true;
  return server_->idle() && batch_start_ && body_left_ == 0;
}

void Session::on_orders() {
  if (state_ == State::kClosed || state_ == State::kClosing || state_ == State::kCancelling) return;
  if (context_.orders->finishing) {
    if (is_between_transactions()) shuts_down();
    return;
  }
  const bool kept_back = is_kept_back();
  if (state_ == State::kGreeting && waiting_ && !dedicated_) {
    wait_until_ = kept_back ? queue_limit() : Deadline::after(context_.shared.settings.server_timeout);
  }
  if (kept_back) return;
  if (is_held()) {
    waiting_ = false;
    resume();
    return update_interest();
  }
  on_topology();
}

void Session::kept_back_too_long() {
  const std::string message = "the balancer is paused";
  const std::string detail = "It was not resumed within query_wait_timeout, " +
                             std::to_string(context_.pool_settings.query_wait_timeout.count()) + " ms.";
  if (state_ == State::kGreeting) return fail(sqlstate::kCannotConnectNow, message, detail);
  skip_request(sqlstate::kCannotConnectNow, message, detail);
}

void Session::shuts_down() { dismiss("the balancer is shutting down", "Connect again in a moment."); }

void Session::dismiss(const std::string& message, const std::string& detail) {
  fail(sqlstate::kAdminShutdown, message, detail);
}

void Session::log_connection(std::string_view what) const {
  const auto age = std::chrono::duration_cast<std::chrono::milliseconds>(context_.loop.now() - made_).count();
  log::info(what, {{"user", user()},
                   {"database", database()},
                   {"client", peer_},
                   {"tls", client_.is_open() && client_.stream->encrypted() ? "yes" : "no"},
                   {"ms", std::to_string(age)},
                   {"transactions", std::to_string(transactions_)}});
}

std::string Session::bound_by() const {
  return mode_ == PoolMode::kSession && pinned_.empty() && server_ != nullptr ? "pool_mode is session" : pinned_;
}

std::string Session::row_id() const { return std::to_string(context_.index) + "." + std::to_string(id_); }

ClientRow Session::row() const {
  const auto now = context_.loop.now();
  ClientRow row;
  row.id = row_id();
  if (pool_ != nullptr) row.user = user(), row.database = database();
  if (console_) row.user = console_->asker.user, row.database = kConsoleDatabase;
  row.address = peer_;
  row.tls = client_.is_open() && client_.stream->encrypted();
  if (server_ != nullptr) row.node = server_->node().name;
  row.bound = bound_by();
  row.age_s = seconds_since(made_, now);
  row.idle_s = seconds_since(last_active_, now);
  row.transactions = transactions_;
  row.prepared = statements_.size();
  const auto application = parameters_->find("application_name");
  if (application != parameters_->end()) row.application_name = application->second;
  const bool waits = waiting_ && !waiting_quiet_;
  if (waits) row.waiting_s = seconds_since(std::max(transaction_since_, made_), now);
  if (state_ == State::kClosing || state_ == State::kClosed) {
    row.state = "closing";
  } else if (waits) {
    row.state = is_kept_back() ? "paused" : "waiting";
  } else if (state_ == State::kConsole) {
    row.state = asking_ ? "active" : "idle";
  } else if (state_ != State::kReady) {
    row.state = "login";
  } else if (server_ == nullptr || server_->idle()) {
    row.state = "idle";
  } else {
    row.state = server_->quiet() ? "transaction" : "active";
  }
  return row;
}

}  // namespace pgb::proxy
