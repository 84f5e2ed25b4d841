// One socket of the proxy with what the kernel has not taken yet. Its thread's own.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "net/buffer.h"
#include "net/event_loop.h"
#include "net/stream.h"

namespace pgb::proxy {

inline constexpr size_t kMaxPending = 65536;  // bytes kept for a slow reader before we stop reading for it

struct Link {
  std::unique_ptr<net::Stream> stream;
  net::Buffer out;        // not yet taken by the kernel
  uint32_t interest = 0;  // what the loop watches for
  bool watched = false;
  bool hung_up = false;     // reported by the kernel: a watch without interest would spin
  bool write_dead = false;  // writes fail; what can still be read is read

  bool is_open() const { return stream != nullptr; }
  bool congested() const { return out.size() >= kMaxPending; }

  // Writes what the kernel takes and keeps the rest in `out`, in order. False when the peer is gone.
  bool send(std::string_view bytes) {
    if (write_dead) return false;
    if (out.empty()) {
      while (!bytes.empty()) {
        const net::IoResult sent = stream->write(bytes);
        if (sent.kind == net::IoResult::Kind::kWait) break;
        if (sent.kind != net::IoResult::Kind::kDone) return !(write_dead = true);
        bytes.remove_prefix(sent.count);
      }
    }
    if (!bytes.empty()) out.append(bytes);
    return true;
  }
  // As much of `out` as the kernel takes. False when the peer is gone.
  bool flush() {
    while (stream && !write_dead && !out.empty()) {
      const net::IoResult sent = stream->write(out.view());
      if (sent.kind == net::IoResult::Kind::kWait) return true;
      if (sent.kind != net::IoResult::Kind::kDone) write_dead = true;
      if (!write_dead) out.consume(sent.count);
    }
    if (write_dead) out.clear();
    return !write_dead;
  }

  // Tells the loop what to watch for; nothing happens when that is what it does already.
  void watch(net::EventLoop& loop, net::Pollable& owner, uint32_t events) {
    if (!stream) return;
    if (events == 0 && hung_up) return unwatch(loop, owner);
    if (watched && events == interest) return;
    if (watched) {
      loop.modify(stream->fd(), events, owner);
    } else {
      watched = loop.add(stream->fd(), events, owner);
    }
    interest = events;
  }
  void unwatch(net::EventLoop& loop, net::Pollable& owner) {
    if (watched) loop.remove(stream->fd(), owner);
    watched = false;
    interest = 0;
  }
  void close(net::EventLoop& loop, net::Pollable& owner) {
    unwatch(loop, owner);
    stream.reset();
    out.clear();
  }
};

}  // namespace pgb::proxy
