#include "proxy/reactor.h"

#include <sched.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/log.h"
#include "net/socket.h"
#include "sql/classify.h"

namespace pgb::proxy {
namespace {
constexpr std::chrono::milliseconds kAcceptPause{100};
constexpr std::chrono::milliseconds kTick{100};
constexpr unsigned kTicksPerSecond = 10;
constexpr int kAcceptsAtOnce = 64;
constexpr int64_t kPatience = 1'000'000'000;  // ns in which a client should begin to log in, if others want to
constexpr size_t kListedAtOnce = 200;         // clients: queries must not wait for a list of thousands
constexpr size_t kSpareSessions = 1000;       // connections that have not logged in yet, beside the clients

// Waking up, the thread does not push a server off its core in the middle of a query: it finds more to do at a time
// when its turn comes, and each transaction costs less.
void schedule_as_batch() {
  const sched_param none = {};
  if (::sched_setscheduler(0, SCHED_BATCH, &none) != 0) {
    log::warn("the kernel refuses SCHED_BATCH: " + std::string(std::strerror(errno)));
  }
}
}  // namespace

Result<std::unique_ptr<Reactor>> Reactor::create(unsigned index, std::vector<os::UniqueFd> listeners,
                                                 const Shared& shared, TopologyPtr topology) {
  auto loop = net::EventLoop::create(shared.settings.io_uring);
  if (!loop) return std::move(loop).error();
  return std::unique_ptr<Reactor>(
      new Reactor(index, std::move(*loop), std::move(listeners), shared, std::move(topology)));
}

Reactor::Reactor(unsigned index, std::unique_ptr<net::EventLoop> loop, std::vector<os::UniqueFd> listeners,
                 const Shared& shared, TopologyPtr topology)
    : loop_(std::move(loop)),
      listeners_(std::move(listeners)),
      context_(*loop_, shared),
      pools_(context_),
      router_(context_) {
  context_.index = index;
  context_.topology = std::move(topology);
  context_.pool_settings = shared.settings.pool;
  context_.unnamed_texts = uint64_t{index} << 56;
  next_id_ = (uint64_t{index} << 56) + 1;  // servers that move between threads remember whom they served
  context_.pools = &pools_;
  context_.router = &router_;
  context_.find = [this](uint64_t id) {
    const auto found = sessions_.find(id);
    return found == sessions_.end() ? nullptr : found->second.get();
  };
  context_.each_session = [this](const std::function<void(Session&)>& visit) {
    for (auto& [id, session] : sessions_) visit(*session);  // none of them leaves the map meanwhile
  };
  context_.ended = [this](uint64_t id) { loop_->post([this, id] { sessions_.erase(id); }); };
  context_.bury = [this](std::unique_ptr<Server> server) {
    if (!server) return;
    if (graves_.empty()) loop_->post([this] { graves_.clear(); });
    graves_.push_back(std::move(server));
  };
}

Reactor::~Reactor() {
  stop();
  sessions_.clear();
  pools_.clear();
  graves_.clear();
}

void Reactor::start(bool accepting) {
  accepting_ = accepting;
  listen();
  loop_->after(kTick, [this] { tick(); });
  // std::thread cannot be told how much stack it needs. It is address space only until it is used.
  pthread_attr_t how;
  pthread_attr_init(&how);
  pthread_attr_setstacksize(&how, sql::kClassifyStack);
  const auto body = [](void* arg) -> void* {
    auto* self = static_cast<Reactor*>(arg);
    if (self->context_.shared.settings.batch_scheduling) schedule_as_batch();
    self->loop_->run();
    return nullptr;
  };
  running_ = pthread_create(&thread_, &how, body, this) == 0;
  pthread_attr_destroy(&how);
  if (!running_) log::error("no thread can be started: " + std::string(std::strerror(errno)));
}

void Reactor::stop() {
  if (!running_) return;
  running_ = false;
  loop_->post([this] { shut_down(); });
  pthread_join(thread_, nullptr);
}

void Reactor::shut_down() {
  stop_listening();
  listeners_.clear();
  for (auto& [id, session] : sessions_) session->shut_down();
  sessions_.clear();
  pools_.clear();
  graves_.clear();
  loop_->stop();
}

void Reactor::run(std::function<void(ReactorContext&)> action) {
  loop_->post([this, action = std::move(action)] { action(context_); });
}

void Reactor::apply(TopologyPtr topology) {
  loop_->post([this, topology = std::move(topology)] {
    context_.topology = topology;
    pools_.on_topology();
    for (auto& [id, session] : sessions_) session->on_topology();
  });
}

void Reactor::set_pool(const PoolSettings& settings) {
  loop_->post([this, settings] {
    context_.pool_settings = settings;
    pools_.on_settings();
  });
}

void Reactor::tick() {
  loop_->after(kTick, [this] { tick(); });
  pools_.tick();
  const bool all = ++ticks_ % kTicksPerSecond == 0;
  if (all) forget_logged_in();
  for (auto& [id, session] : sessions_) {
    if (context_.orders->finishing) session->on_orders();
    if (all || session->is_waiting()) session->tick();
  }
}

void Reactor::give(OrdersPtr orders) {
  loop_->post([this, orders = std::move(orders)] {
    context_.orders = orders;
    context_.keeping_back = orders->keep_back_any();
    pools_.on_orders();
    for (auto& [id, session] : sessions_) session->on_orders();
  });
}

void Reactor::set_accepting(Accepting how, std::shared_ptr<Survey<char>> done) {
  loop_->post([this, how, done = std::move(done)] {
    accepting_ = how == Accepting::kYes;
    if (accepting_) {
      listen();
    } else {
      stop_listening();
    }
    if (how == Accepting::kClose) listeners_.clear();
    done->add({});
  });
}

void Reactor::adopt_client(os::UniqueFd client) {
  loop_->post([this, fd = std::make_shared<os::UniqueFd>(std::move(client))] { take(std::move(*fd)); });
}

void Reactor::list_clients(std::shared_ptr<Survey<ClientRow>> survey) {
  loop_->post([this, survey = std::move(survey)] {
    auto ids = std::make_shared<std::vector<uint64_t>>();
    ids->reserve(sessions_.size());
    for (const auto& [id, session] : sessions_) ids->push_back(id);
    list_some(ids, 0, {}, survey);
  });
}

void Reactor::list_some(const Ids& ids, size_t from, std::vector<ClientRow> rows,
                        std::shared_ptr<Survey<ClientRow>> survey) {
  const size_t to = std::min(ids->size(), from + kListedAtOnce);
  for (size_t i = from; i < to; ++i) {
    const Session* session = context_.find((*ids)[i]);
    if (session != nullptr) rows.push_back(session->row());
  }
  if (to == ids->size()) return survey->add(std::move(rows));
  auto so_far = std::make_shared<std::vector<ClientRow>>(std::move(rows));
  loop_->post([this, ids, to, so_far, survey] { list_some(ids, to, std::move(*so_far), survey); });
}

void Reactor::listen() {
  if (listening_ || !accepting_) return;
  listening_ = true;
  for (const os::UniqueFd& listener : listeners_) loop_->add(listener.get(), EPOLLIN, *this);
}

void Reactor::stop_listening() {
  if (!std::exchange(listening_, false)) return;
  for (const os::UniqueFd& listener : listeners_) loop_->remove(listener.get(), *this);
}

void Reactor::on_events(uint32_t) {
  for (const os::UniqueFd& listener : listeners_) {
    if (accept_from(listener.get())) continue;
    stop_listening();
    loop_->after(kAcceptPause, [this] { listen(); });
    return;
  }
}

// So that the oldest newcomer, if there is one, is one that has not proved who it is.
void Reactor::forget_logged_in() {
  while (!newcomers_.empty()) {
    const auto found = sessions_.find(newcomers_.front().id);
    if (found != sessions_.end() && found->second->state() < Session::State::kGreeting) return;
    newcomers_.pop_front();
  }
}

// Whoever has stood there for a while without a word of who it is goes first: such connections keep nobody out.
bool Reactor::make_room() {
  forget_logged_in();
  if (newcomers_.empty() || context_.now_ns() - newcomers_.front().came_ns < kPatience) return false;
  sessions_.at(newcomers_.front().id)->dismiss("too many connections", "Others want to log in, and this one does not.");
  newcomers_.pop_front();
  return true;
}

void Reactor::take(os::UniqueFd client) {
  const size_t most = context_.shared.counters.max_clients + kSpareSessions;
  if (sessions_.size() >= most && !make_room()) return;
  const uint64_t id = next_id_++;
  newcomers_.push_back({id, context_.now_ns()});
  auto& session = sessions_[id];
  session = std::make_unique<Session>(id, std::move(client), context_);
  session->start();
}

// False: try again later.
bool Reactor::accept_from(int listener) {
  for (int i = 0; i < kAcceptsAtOnce; ++i) {
    os::UniqueFd client = net::accept_one(listener);
    if (client) {
      take(std::move(client));
      continue;
    }
    if (!net::accept_exhausted()) return true;
    log::warn("no descriptors or memory left to accept a client; raise the limit of open files (ulimit -n)");
    return false;
  }
  return true;
}

}  // namespace pgb::proxy
