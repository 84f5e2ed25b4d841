#include "proxy/server.h"

#include <algorithm>

#include "base/log.h"
#include "net/socket.h"

namespace pgb::proxy {

Server::Server(ReactorContext& context, ServerOwner& owner, const NodeView& node, ServerLogin login)
    : context_(&context),
      owner_(&owner),
      node_(node),
      login_(std::move(login)),
      framer_(pgwire::kMaxAuthBody),
      parameters_(context.shared.sets.none()) {
  made = idle_since = busy_since = asked = context.loop.now();
}

Server::~Server() { close(); }

void Server::close() {
  if (state_ == State::kClosed) return;
  if (context_ == nullptr) {  // between two threads that do not run any more
    state_ = State::kClosed;
    return link_.stream.reset();
  }
  if (state_ == State::kReady) {
    if (link_.flush() && link_.out.empty()) {
      static constexpr std::string_view kGoodbye("X\0\0\0\4", 5);
      link_.send(kGoodbye);
    }
    context_->shared.counters.server_closed(node_.name);
  }
  context_->loop.cancel(timer_);
  timer_ = 0;
  link_.close();
  state_ = State::kClosed;
  user_ = nullptr;
}

// Before the login is through.
void Server::fail(const std::string& why, const pgwire::ErrorResponse* error) {
  close();
  owner_->server_failed(*this, why, error);
}

void Server::lost(const std::string& why, bool in_order) {
  ServerUser* user = user_;
  const Loss loss{why, said_fatal_, std::move(last_words_), ends_, received(in_order)};
  // One session's end or a server's: a probe that is sent now will tell.
  const int64_t now = context_->now_ns();
  node_.gauge->eject(now);
  context_->shared.settings.bell->ring(now);
  link_.out.clear();  // what it was not given yet it shall not get any more: whoever is told so relies on it
  close();
  if (user != nullptr) user->server_lost(*this, loss);
  owner_->server_closed(*this);
}

// What its kernel had not taken when the server closed the connection, the server has never read. (That holds only
// where the end came in order: else a confirmation may have been lost, and not the bytes.)
uint64_t Server::received(bool in_order) const {
  if (link_.write_dead || !link_.stream) return sent_;
  const uint64_t on_the_way = in_order ? net::unconfirmed(link_.stream->fd()) : 0;
  return sent_ - std::min(sent_, on_the_way + link_.out.size());
}

void Server::serve(ServerUser* user) {
  if (user != user_) body_passes_ = false;
  user_ = user;
  if (user != nullptr) busy_since = context_->loop.now();
  update_interest();
}

void Server::update_interest() {
  if (!link_.is_open()) return;
  if (state_ == State::kConnecting) return link_.watch(context_->loop, *this, EPOLLOUT);
  const bool read = user_ == nullptr || !user_->congested();
  const bool write = link_.blocked() || link_.stream->read_wants_write();
  uint32_t events = (read ? EPOLLIN : 0u) | (write ? EPOLLOUT : 0u);
  if (read && state_ == State::kReady && !link_.stream->encrypted()) events |= EPOLLET | EPOLLRDHUP;
  link_.watch(context_->loop, *this, events);
}

void Server::resume() { update_interest(); }

void Server::expect(Expectation entry) {
  if (skipping_) {
    // The server throws away what comes before a Sync; what we would have answered ourselves goes the same way.
    if (entry.kind != Expectation::Kind::kSync) {
      if (entry.change != 0 && user_ != nullptr) user_->server_skipped(entry.change, false);
      return;
    }
    skipping_ = false;
  }
  if (entry.kind == Expectation::Kind::kCopyEnd) copy_in_ = false;
  expected_.push(entry);
}

// Congested means that the kernel takes no more: only then is whoever waits woken.
void Server::append(std::string_view bytes) {
  sent_ += bytes.size();
  link_.append(bytes);
  if (!link_.congested() || link_.blocked()) return;
  link_.flush();
  if (link_.blocked()) update_interest();
}

void Server::send(std::string_view bytes) {
  sent_ += bytes.size();
  link_.post(bytes);  // a failure shows when reading: there may be last words
  if (link_.blocked()) update_interest();
}

void Server::flush() {
  link_.post_rest();
  if (link_.blocked()) update_interest();
}

void Server::ask(Purpose purpose, const std::string& sql) {
  std::string bytes;
  pgwire::encode(bytes, pgwire::Query{sql});
  append(bytes);
  expect({Expectation::Kind::kInternal, 0});
  purposes_.push_back(purpose);
  asked = context_->loop.now();
  unnamed = 0;  // a simple query ends the unnamed statement
}

bool Server::has_failed() const {
  if (status_ != pgwire::TxnStatus::kFailed) return false;
  using Kind = Expectation::Kind;
  for (size_t i = 0; i < expected_.size(); ++i) {
    const Kind kind = expected_.at(i).kind;
    if (kind == Kind::kQuery || kind == Kind::kExecute || kind == Kind::kInternal) return false;
  }
  return !skipping_;
}

bool Server::owes_client() const {
  if (skipping_) return true;
  for (size_t i = 0; i < expected_.size(); ++i) {
    if (expected_.at(i).kind != Expectation::Kind::kInternal) return true;
  }
  return false;
}

size_t Server::owed() const {
  size_t count = 0;
  for (size_t i = 0; i < expected_.size(); ++i) {
    const Expectation::Kind kind = expected_.at(i).kind;
    if (kind == Expectation::Kind::kQuery || kind == Expectation::Kind::kSync) ++count;
  }
  return count;
}

size_t Server::expects(Expectation::Kind kind) const {
  size_t count = 0;
  for (size_t i = 0; i < expected_.size(); ++i) count += expected_.at(i).kind == kind ? 1 : 0;
  return count;
}

void Server::skip_all(ServerUser& user) {
  for (; !expected_.empty(); expected_.pop()) {
    const uint32_t change = expected_.front().change;
    if (change != 0) user.server_skipped(change, false);
  }
}

uint64_t Server::least_used() const {
  uint64_t statement = 0, when = UINT64_MAX;
  for (const auto& [id, used] : prepared_) {
    if (used < when) when = used, statement = id;
  }
  return statement;
}

// The statement is of no use to anybody any more, nor, perhaps, are others; they stay there under names that nobody
// uses, which a server can have enough of.
void Server::forget_old_plans() {
  orphans_ += prepared_.size();
  retire = retire || orphans_ > context_->pool_settings.max_prepared;
  forget_all();
}

void Server::forget_all() {
  prepared_.clear();
  unnamed = 0;
  ++generation_;
}

void Server::name_of(uint64_t statement, std::string& out) const {
  out = "pgbalancer_";
  out += std::to_string(statement);
  if (generation_ == 0) return;
  out += '_';
  out += std::to_string(generation_);
}

void Server::detach() {
  link_.flush();  // nothing is left: it is idle
  link_.unwatch();
  context_ = nullptr;
  owner_ = nullptr;
}

void Server::attach(ReactorContext& context, ServerOwner& owner) {
  context_ = &context;
  owner_ = &owner;
  update_interest();
}

void Server::on_events(uint32_t events) {
  link_.note_events(events);
  if (state_ == State::kConnecting) return connected();
  if (state_ == State::kTls) return encrypt();
  if ((events & EPOLLOUT) != 0) {
    link_.flush();
    if (user_ != nullptr && !link_.congested()) user_->server_drained();
    if (state_ == State::kClosed || context_ == nullptr) return;
  }
  if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0 || link_.stream->read_wants_write()) {
    if (state_ == State::kLogin) {
      read_login();
    } else {
      read_some();
    }
  }
  if (state_ != State::kClosed && context_ != nullptr) update_interest();
}

}  // namespace pgb::proxy
