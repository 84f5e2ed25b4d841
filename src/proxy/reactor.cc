#include "proxy/reactor.h"

#include "base/log.h"
#include "net/socket.h"

namespace pgb::proxy {
namespace {
constexpr std::chrono::milliseconds kAcceptPause{100};
constexpr int kAcceptsAtOnce = 64;
constexpr size_t kSpareSessions = 1000;  // connections that have not logged in yet, beside the clients
}  // namespace

Result<std::unique_ptr<Reactor>> Reactor::create(os::UniqueFd listener, const Shared& shared, TopologyPtr topology) {
  auto loop = net::EventLoop::create();
  if (!loop) return std::move(loop).error();
  return std::unique_ptr<Reactor>(new Reactor(std::move(*loop), std::move(listener), shared, std::move(topology)));
}

Reactor::Reactor(std::unique_ptr<net::EventLoop> loop, os::UniqueFd listener, const Shared& shared,
                 TopologyPtr topology)
    : loop_(std::move(loop)), listener_(std::move(listener)), context_{*loop_, shared, std::move(topology),
                                                                       {},     {},     {}} {
  context_.find = [this](uint64_t id) {
    const auto found = sessions_.find(id);
    return found == sessions_.end() ? nullptr : found->second.get();
  };
  context_.ended = [this](uint64_t id) {
    loop_->after(std::chrono::milliseconds(0), [this, id] { sessions_.erase(id); });
  };
}

Reactor::~Reactor() { stop(); }

void Reactor::start() {
  listen();
  thread_ = std::thread([this] { loop_->run(); });
}

void Reactor::stop() {
  if (!thread_.joinable()) return;
  loop_->post([this] { shut_down(); });
  thread_.join();
}

void Reactor::shut_down() {
  loop_->unwatch(watch_);
  listener_.reset();
  for (auto& [id, session] : sessions_) session->shut_down();
  sessions_.clear();
  loop_->stop();
}

void Reactor::apply(TopologyPtr topology) {
  loop_->post([this, topology = std::move(topology)] {
    context_.topology = topology;
    for (auto& [id, session] : sessions_) session->on_topology();
  });
}

void Reactor::listen() {
  watch_ = loop_->watch(listener_.get(), EPOLLIN, [this](uint32_t) { accept(); });
}

void Reactor::accept() {
  const size_t most = context_.shared.counters.max_clients + kSpareSessions;
  for (int i = 0; i < kAcceptsAtOnce; ++i) {
    os::UniqueFd client = net::accept_one(listener_.get());
    if (!client) {
      if (!net::accept_exhausted()) return;
      log::warn("no descriptors or memory left to accept a client; raise the limit of open files (ulimit -n)");
      loop_->unwatch(watch_);
      loop_->after(kAcceptPause, [this] { listen(); });
      return;
    }
    if (sessions_.size() >= most) continue;
    const uint64_t id = next_id_++;
    auto& session = sessions_[id];
    session = std::make_unique<Session>(id, std::move(client), context_);
    session->start();
  }
}

}  // namespace pgb::proxy
