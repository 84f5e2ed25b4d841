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

class Link final : public net::Outgoing {
 public:
  std::unique_ptr<net::Stream> stream;
  net::Buffer out;          // not yet taken by the kernel
  bool write_dead = false;  // writes fail; what can still be read is read

  ~Link();

  bool is_open() const { return stream != nullptr; }
  bool blocked() const { return blocked_; }  // the kernel was offered `out` and did not take all of it
  bool congested() const { return out.size() >= kMaxPending; }

  // Writes what the kernel takes and keeps the rest in `out`, in order. False when the peer is gone.
  bool send(std::string_view bytes);
  // The same at the end of the loop's round, together with what others have to send; what is large goes at once.
  // While nobody watches the link it waits for that. A failure shows when reading.
  void post(std::string_view bytes);
  // Keeps bytes for a later send(), post_rest() or flush().
  void append(std::string_view bytes);
  void post_rest();  // like post(), what was kept
  // As much of `out` as the kernel takes. False when the peer is gone.
  bool flush();

  // Of the stream. Whoever watches for edges reads in on_events() only, after noting what was reported.
  net::IoResult read(char* data, size_t size);
  void note_events(uint32_t events);
  // Tells the loop what to watch for; nothing happens when that is what it does already. With EPOLLET the kernel tells
  // of bytes once, and is asked to look again where not all of them were read: that saves it a look at each socket
  // that was read from. Only for plain sockets.
  void watch(net::EventLoop& loop, net::Pollable& owner, uint32_t events);
  void unwatch();
  void close();  // what the kernel does not take at once is lost

  // Outgoing
  int plain_socket() const override { return stream->encrypted() ? -1 : stream->fd(); }
  std::string_view waiting() const override { return out.view(); }
  void written(int count_or_error) override;
  void write_waiting() override;

 private:
  void lost();
  void give_memory_back();

  net::EventLoop* loop_ = nullptr;  // that watches it
  net::Pollable* owner_ = nullptr;
  uint32_t interest_ = 0;  // what it watches for
  bool hung_up_ = false;   // reported by the kernel: a watch without interest would spin
  bool ending_ = false;    // likewise, that there is an end behind the bytes
  bool unread_ = false;    // there may be bytes, or an end, of which the kernel has told
  bool blocked_ = false;
};

}  // namespace pgb::proxy
