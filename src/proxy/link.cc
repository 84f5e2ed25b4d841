#include "proxy/link.h"

#include <cerrno>

namespace pgb::proxy {
namespace {
constexpr size_t kLarge = 8192;  // bytes for which a system call of their own is cheaper than a copy
using Kind = net::IoResult::Kind;
}  // namespace

Link::~Link() { unwatch(); }

void Link::lost() {
  write_dead = true;
  blocked_ = false;
  out.clear();
}

bool Link::send(std::string_view bytes) {
  if (write_dead) return false;
  while (out.empty() && !bytes.empty()) {
    const net::IoResult sent = stream->write(bytes);
    if (sent.kind == Kind::kWait) {
      blocked_ = true;
      break;
    }
    if (sent.kind != Kind::kDone) {
      lost();
      return false;
    }
    bytes.remove_prefix(sent.count);
  }
  if (!bytes.empty()) append(bytes);
  return true;
}

void Link::append(std::string_view bytes) {
  if (out.capacity() == 0 && loop_ != nullptr) out.give_memory(loop_->send_queue().take_memory());
  out.append(bytes);
}

// Everything is on its way: the memory serves the next one who has something to send.
void Link::give_memory_back() {
  if (loop_ == nullptr || !out.empty() || out.capacity() == 0) return;
  loop_->send_queue().give_memory(out.take_memory());
}

void Link::post(std::string_view bytes) {
  if (write_dead) return;
  if (bytes.size() < kLarge && out.size() < kLarge) {
    append(bytes);
  } else {
    if (!blocked_) flush();
    send(bytes);
  }
  post_rest();
}

void Link::post_rest() {
  if (loop_ != nullptr && !blocked_ && !out.empty()) loop_->send_queue().add(*this);
}

bool Link::flush() {
  blocked_ = false;
  while (stream && !write_dead && !out.empty()) {
    const net::IoResult sent = stream->write(out.view());
    if (sent.kind == Kind::kWait) {
      blocked_ = true;
      return true;
    }
    if (sent.kind != Kind::kDone) {
      lost();
    } else {
      out.consume(sent.count);
    }
  }
  if (write_dead) out.clear();
  give_memory_back();
  return !write_dead;
}

void Link::written(int count_or_error) {
  if (count_or_error >= 0) {
    out.consume(static_cast<size_t>(count_or_error));
    if (out.empty()) return give_memory_back();
  } else if (count_or_error == -EPIPE || count_or_error == -ECONNRESET || count_or_error == -ENOTCONN) {
    return lost();
  }
  write_waiting();  // what happened shows again there
}

void Link::write_waiting() {
  flush();
  if (blocked_ && loop_ != nullptr) watch(*loop_, *owner_, interest_ | EPOLLOUT);
}

net::IoResult Link::read(char* data, size_t size) {
  const net::IoResult got = stream->read(data, size);
  const bool all = got.kind == Kind::kWait || (got.kind == Kind::kDone && got.count < size);
  unread_ = ending_ || !all;
  return got;
}

void Link::note_events(uint32_t events) {
  if ((events & (EPOLLHUP | EPOLLERR)) != 0) hung_up_ = true;
  ending_ = (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
  unread_ = unread_ || ending_ || (events & EPOLLIN) != 0;
}

void Link::watch(net::EventLoop& loop, net::Pollable& owner, uint32_t events) {
  if (!stream) return;
  if (events == 0 && hung_up_) return unwatch();
  const bool again = unread_ && (events & EPOLLET) != 0 && (events & EPOLLIN) != 0;
  if (loop_ != nullptr && events == interest_ && !again) return;
  unread_ = false;  // the kernel looks now
  if (loop_ != nullptr) {
    loop.modify(stream->fd(), events, owner);
  } else if (loop.add(stream->fd(), events, owner)) {
    loop_ = &loop;
    owner_ = &owner;
    post_rest();  // what was posted while nobody watched, as between a request for TLS and the end of its handshake
  }
  interest_ = events;
}

void Link::unwatch() {
  if (loop_ == nullptr) return;
  loop_->send_queue().remove(*this);
  loop_->remove(stream->fd(), *owner_);
  loop_ = nullptr;
  owner_ = nullptr;
  interest_ = 0;
  unread_ = false;
}

void Link::close() {
  if (stream && !blocked_) flush();  // what was to go out at the end of the round
  unwatch();
  stream.reset();
  out.clear();
}

}  // namespace pgb::proxy
