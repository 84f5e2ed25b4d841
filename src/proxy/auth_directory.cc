#include "proxy/auth_directory.h"

#include <algorithm>

#include "base/log.h"
#include "base/strings.h"

namespace pgb::proxy {
namespace {

using std::chrono::milliseconds;
constexpr milliseconds kRemember{5000};
constexpr std::chrono::hours kRememberUnasked{1};
constexpr milliseconds kRetry{200};
constexpr milliseconds kAskTimeout{3000};
constexpr milliseconds kKeepIdle{10'000};
constexpr size_t kMostKnown = 10'000;  // invented user names must not fill the memory

// The secret stands in the last column of the first row: "user, secret" as PgBouncer's auth_query has it, or alone.
std::string query_for(const std::string& user, const std::string& auth_query) {
  const std::string literal = pgclient::quote_literal(user);
  if (auth_query.empty()) return "SELECT pgbalancer.get_auth(" + literal + ")";
  std::string text = auth_query;
  for (size_t at = 0; (at = text.find("$1", at)) != std::string::npos; at += literal.size())
    text.replace(at, 2, literal);
  return text;
}

UserSecret read_answer(const std::string& user, const std::vector<pgclient::ResultSet>& results,
                       const Secret& salt_secret) {
  if (results.empty() || results[0].rows.empty() || results[0].rows[0].empty()) return {};
  const std::optional<std::string>& text = results[0].rows[0].back();
  if (!text || text->empty()) return {};
  auto secret = read_user_secret(user, *text, salt_secret);
  if (secret) return std::move(*secret);
  log::warn("user \"" + user + "\" cannot log in here: " + secret.error().message);
  return {};
}

}  // namespace

AuthDirectory::AuthDirectory(const Settings& settings, Secret salt_secret, TopologyPtr topology)
    : settings_(settings), salt_secret_(std::move(salt_secret)), topology_(std::move(topology)) {
  read_fixed();
  thread_ = std::thread([this] { run(); });
}

AuthDirectory::~AuthDirectory() { stop(); }

void AuthDirectory::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void AuthDirectory::look_up(const std::string& user, Deadline deadline, OnAnswer on_answer, Unasked unasked) {
  if (const auto fixed = fixed_.find(user); fixed != fixed_.end()) return on_answer(fixed->second);
  if (auto secret = known(user)) return on_answer(std::move(*secret));
  {
    const std::lock_guard lock(mutex_);
    requests_.push_back({user, deadline, std::move(on_answer), unasked});
  }
  changed_.notify_all();
}

void AuthDirectory::forget(const std::string& user) {
  const std::lock_guard lock(mutex_);
  const auto found = known_.find(user);
  if (found != known_.end()) found->second.until = Deadline::after(milliseconds(0));
}

pgwire::Credentials AuthDirectory::configured(const std::string& user) const {
  const auto fixed = fixed_.find(user);
  return fixed == fixed_.end() ? pgwire::Credentials() : fixed->second.credentials();
}

bool AuthDirectory::is_configured(const std::string& user) const {
  return !settings_.auth_query.empty() || fixed_.count(user) != 0;
}

void AuthDirectory::keep_keys(const std::string& user, const pgwire::ScramKeys& keys) {
  const std::lock_guard lock(mutex_);
  keys_.insert_or_assign(user, keys);
}

std::optional<pgwire::ScramKeys> AuthDirectory::kept_keys(const std::string& user) const {
  const std::lock_guard lock(mutex_);
  const auto found = keys_.find(user);
  return found == keys_.end() ? std::nullopt : std::optional(found->second);
}

void AuthDirectory::forget_keys(const std::string& user) {
  const std::lock_guard lock(mutex_);
  keys_.erase(user);
}

void AuthDirectory::apply(TopologyPtr topology) {
  {
    const std::lock_guard lock(mutex_);
    topology_ = std::move(topology);
  }
  changed_.notify_all();
}

std::optional<UserSecret> AuthDirectory::known(const std::string& user) {
  const std::lock_guard lock(mutex_);
  const auto found = known_.find(user);
  if (found == known_.end() || found->second.until.expired()) return std::nullopt;
  return found->second.secret;
}

bool AuthDirectory::nobody_is_up() {
  const std::lock_guard lock(mutex_);
  return topology_ == nullptr || topology_->anybody() == nullptr;
}

std::optional<UserSecret> AuthDirectory::remembered(const std::string& user) {
  const std::lock_guard lock(mutex_);
  const auto found = known_.find(user);
  if (found == known_.end() || found->second.remembered.expired() || found->second.secret.empty()) return std::nullopt;
  return found->second.secret;
}

void AuthDirectory::read_fixed() {
  for (const auto& [user, secret] : settings_.users) {
    auto read = read_user_secret(user, secret.reveal(), salt_secret_);
    if (read) {
      fixed_.emplace(user, std::move(*read));
    } else {
      log::warn("user \"" + user + "\" of the configuration cannot log in: " + read.error().message);
    }
  }
}

void AuthDirectory::run() {
  for (;;) {
    std::vector<Request> requests;
    {
      std::unique_lock lock(mutex_);
      const auto wanted = [this] { return stopped_ || !requests_.empty(); };
      if (connection_) {
        changed_.wait_for(lock, idle_at_.remaining(), wanted);
      } else {
        changed_.wait(lock, wanted);
      }
      if (stopped_) return;
      requests.swap(requests_);
    }
    if (requests.empty()) connection_.reset();  // idle for long
    serve(std::move(requests));
  }
}

// Answers what can be answered; what cannot waits for another topology or the next try.
void AuthDirectory::serve(std::vector<Request> requests) {
  std::vector<Request> waiting;
  for (Request& request : requests) {
    if (auto secret = known(request.user)) {
      request.on_answer(std::move(*secret));
      continue;
    }
    Answer answer = ask(request.user);
    if (!answer && request.unasked == Unasked::kRemembered && nobody_is_up()) {
      if (auto secret = remembered(request.user)) answer = std::move(*secret);
    }
    if (answer || request.deadline.expired()) {
      request.on_answer(std::move(answer));
    } else {
      waiting.push_back(std::move(request));
    }
  }
  idle_at_ = Deadline::after(kKeepIdle);
  if (waiting.empty()) return;
  std::unique_lock lock(mutex_);
  const TopologyPtr before = topology_;
  const size_t asked = requests_.size();
  changed_.wait_for(lock, kRetry, [&] { return stopped_ || topology_ != before || requests_.size() != asked; });
  std::move(waiting.begin(), waiting.end(), std::back_inserter(requests_));
}

AuthDirectory::Answer AuthDirectory::ask(const std::string& user) {
  if (!is_utf8(user)) return UserSecret();  // no role can be called so
  PGB_TRY(connect());
  auto results = connection_->query(query_for(user, settings_.auth_query), Deadline::after(kAskTimeout));
  if (!results) {
    connection_.reset();
    return std::move(results).error().in("asking " + connected_to_ + " for the password of a user");
  }
  UserSecret secret = read_answer(user, *results, salt_secret_);
  const std::lock_guard lock(mutex_);
  if (known_.size() >= kMostKnown) known_.clear();
  known_.insert_or_assign(user, Known{secret, Deadline::after(kRemember), Deadline::after(kRememberUnasked)});
  return secret;
}

// Any healthy server will do, the primary first: it knows of new users soonest.
Status AuthDirectory::connect() {
  TopologyPtr topology;
  {
    const std::lock_guard lock(mutex_);
    topology = topology_;
  }
  const NodeView* chosen = topology->anybody();
  if (chosen == nullptr) return Error(Code::kUnreachable, "no server answers: " + topology->describe());
  const net::TlsToServer tls = settings_.tls->get().to_servers;
  if (connection_ && connected_to_ == chosen->name && connected_by_ == tls.context) return Status();
  connection_.reset();
  pgclient::ConnInfo info;
  info.host = chosen->host;
  info.port = chosen->port;
  info.user = settings_.auth_user;
  info.password = settings_.auth_password;
  info.database = settings_.auth_database;
  info.application_name = "pgbalancer auth";
  info.tls = tls;
  info.tls_host = chosen->tls_host;
  auto opened = pgclient::Connection::open(info, Deadline::after(kAskTimeout));
  if (!opened) return std::move(opened).error().in(chosen->name + " (" + chosen->address() + ")");
  connection_ = std::move(*opened);
  connected_to_ = chosen->name;
  connected_by_ = tls.context;
  return Status();
}

}  // namespace pgb::proxy
