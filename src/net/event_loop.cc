#include "net/event_loop.h"

#include <sys/eventfd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace pgb::net {

Result<std::unique_ptr<EventLoop>> EventLoop::create() {
  os::UniqueFd epoll(epoll_create1(EPOLL_CLOEXEC));
  os::UniqueFd wake(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  epoll_event event = {};
  event.events = EPOLLIN;
  event.data.u64 = 0;  // watch 0 is the wake-up
  if (!epoll || !wake || epoll_ctl(epoll.get(), EPOLL_CTL_ADD, wake.get(), &event) != 0) {
    return Error(Code::kIo, std::string("cannot make an event loop: ") + std::strerror(errno))
        .with("try", "raise the limit of open files (ulimit -n)");
  }
  return std::unique_ptr<EventLoop>(new EventLoop(std::move(epoll), std::move(wake)));
}

EventLoop::~EventLoop() = default;

EventLoop::Watch EventLoop::watch(int fd, uint32_t events, OnEvents on_events) {
  const Watch id = next_id_++;
  epoll_event event = {};
  event.events = events;
  event.data.u64 = id;
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) return 0;
  watches_.emplace(id, Entry{fd, events, std::make_shared<OnEvents>(std::move(on_events))});
  return id;
}

void EventLoop::change(Watch watch, uint32_t events) {
  const auto found = watches_.find(watch);
  if (found == watches_.end() || found->second.events == events) return;
  epoll_event event = {};
  event.events = events;
  event.data.u64 = watch;
  epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, found->second.fd, &event);
  found->second.events = events;
}

void EventLoop::unwatch(Watch watch) {
  const auto found = watches_.find(watch);
  if (found == watches_.end()) return;
  epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, found->second.fd, nullptr);
  watches_.erase(found);
}

EventLoop::Timer EventLoop::after(std::chrono::milliseconds wait, std::function<void()> action) {
  const Timer id = next_id_++;
  const Clock::time_point at = Clock::now() + wait;
  timers_.emplace(Due(at, id), std::move(action));
  due_.emplace(id, at);
  return id;
}

void EventLoop::cancel(Timer timer) {
  const auto found = due_.find(timer);
  if (found == due_.end()) return;
  timers_.erase(Due(found->second, timer));
  due_.erase(found);
}

void EventLoop::post(std::function<void()> action) {
  {
    const std::lock_guard lock(mutex_);
    posted_.push_back(std::move(action));
  }
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = ::write(wake_.get(), &one, sizeof one);
}

void EventLoop::stop() {
  stopped_ = true;
  post([] {});
}

int EventLoop::wait_ms() const {
  if (timers_.empty()) return -1;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(timers_.begin()->first.first - Clock::now());
  return static_cast<int>(std::clamp<long long>(left.count(), 0, 1 << 30));
}

void EventLoop::run_timers() {
  const Clock::time_point now = Clock::now();
  while (!timers_.empty() && timers_.begin()->first.first <= now) {
    auto node = timers_.extract(timers_.begin());
    due_.erase(node.key().second);
    node.mapped()();
  }
}

void EventLoop::run_posted() {
  std::vector<std::function<void()>> work;
  {
    const std::lock_guard lock(mutex_);
    work.swap(posted_);
  }
  for (const auto& action : work) action();
}

void EventLoop::run() {
  std::array<epoll_event, 128> events;
  while (!stopped_) {
    const int count = epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), wait_ms());
    for (int i = 0; i < count; ++i) {
      const epoll_event& event = events[static_cast<size_t>(i)];
      if (event.data.u64 == 0) {
        uint64_t ignored = 0;
        [[maybe_unused]] const ssize_t got = ::read(wake_.get(), &ignored, sizeof ignored);
        continue;
      }
      const auto found = watches_.find(event.data.u64);
      if (found == watches_.end()) continue;
      const std::shared_ptr<OnEvents> on_events = found->second.on_events;
      (*on_events)(event.events);
    }
    run_posted();
    run_timers();
  }
}

}  // namespace pgb::net
