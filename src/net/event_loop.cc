#include "net/event_loop.h"

#include <sys/eventfd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace pgb::net {

Result<std::unique_ptr<EventLoop>> EventLoop::create(bool io_uring) {
  os::UniqueFd epoll(epoll_create1(EPOLL_CLOEXEC));
  os::UniqueFd wake(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  epoll_event event = {};
  event.events = EPOLLIN;
  event.data.ptr = nullptr;  // nobody is the wake-up
  if (!epoll || !wake || epoll_ctl(epoll.get(), EPOLL_CTL_ADD, wake.get(), &event) != 0) {
    return Error(Code::kIo, std::string("cannot make an event loop: ") + std::strerror(errno))
        .with("try", "raise the limit of open files (ulimit -n)");
  }
  return std::unique_ptr<EventLoop>(new EventLoop(std::move(epoll), std::move(wake), io_uring));
}

EventLoop::~EventLoop() = default;

bool EventLoop::add(int fd, uint32_t events, Pollable& target) {
  epoll_event event = {};
  event.events = events;
  event.data.ptr = &target;
  return epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) == 0;
}

void EventLoop::modify(int fd, uint32_t events, Pollable& target) {
  epoll_event event = {};
  event.events = events;
  event.data.ptr = &target;
  epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event);
}

void EventLoop::remove(int fd, Pollable& target) {
  epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
  for (int i = next_; i < count_; ++i) {
    epoll_event& event = events_[static_cast<size_t>(i)];
    if (event.data.ptr == &target) event.events = 0;
  }
}

EventLoop::Timer EventLoop::after(std::chrono::milliseconds wait, std::function<void()> action) {
  const Timer id = next_timer_++;
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
  if (has_posted_.exchange(true)) return;  // it is awake, or on its way
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = ::write(wake_.get(), &one, sizeof one);
}

void EventLoop::stop() {
  stopped_ = true;
  post([] {});
}

// Counted from the beginning of the round that ends here: a timer may be late by what the round took, and a reading of
// the clock is saved.
int EventLoop::wait_ms() const {
  if (timers_.empty()) return -1;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(timers_.begin()->first.first - now_);
  return static_cast<int>(std::clamp<long long>(left.count(), 0, 1 << 30));
}

void EventLoop::run_timers() {
  while (!timers_.empty() && timers_.begin()->first.first <= now_) {
    auto node = timers_.extract(timers_.begin());
    due_.erase(node.key().second);
    node.mapped()();
  }
}

void EventLoop::run_posted() {
  if (!has_posted_) return;
  std::vector<std::function<void()>> work;
  has_posted_ = false;  // before the work is taken: what is posted from here on wakes us again
  {
    const std::lock_guard lock(mutex_);
    work.swap(posted_);
  }
  for (const auto& action : work) action();
}

void EventLoop::dispatch() {
  for (next_ = 0; next_ < count_;) {
    const epoll_event event = events_[static_cast<size_t>(next_++)];
    if (event.data.ptr == nullptr) {
      uint64_t ignored = 0;
      [[maybe_unused]] const ssize_t got = ::read(wake_.get(), &ignored, sizeof ignored);
    } else if (event.events != 0) {
      static_cast<Pollable*>(event.data.ptr)->on_events(event.events);
    }
  }
  count_ = next_ = 0;
}

void EventLoop::run() {
  now_ = Clock::now();
  while (!stopped_) {
    count_ = std::max(0, epoll_wait(epoll_.get(), events_.data(), static_cast<int>(events_.size()), wait_ms()));
    now_ = Clock::now();
    dispatch();
    run_posted();
    run_timers();
    send_queue_.send_all();
  }
}

}  // namespace pgb::net
