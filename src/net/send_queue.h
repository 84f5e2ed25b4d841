// What is to be sent at the end of a round of the loop: many sockets' bytes in one system call where the kernel has
// io_uring, else in one call a socket. Belongs to one thread.
// Source: io_uring_enter(2), send(2); MSG_DONTWAIT makes every entry complete within the call.
#pragma once

#include <cstddef>
#include <memory>
#include <string_view>
#include <vector>

#include "net/buffer.h"

namespace pgb::net {

class SendQueue;

// What has bytes to send. It must leave the queue (SendQueue::remove) before it ends.
class Outgoing {
 public:
  Outgoing() = default;
  Outgoing(const Outgoing&) = delete;
  Outgoing& operator=(const Outgoing&) = delete;

  virtual int plain_socket() const = 0;          // takes waiting() as it is; -1: only write_waiting() does
  virtual std::string_view waiting() const = 0;  // stays where it is until written()
  virtual void written(int count_or_error) = 0;  // as io_uring tells it: bytes, or a negative errno
  virtual void write_waiting() = 0;              // writes what can be written

  size_t queue_place = 0;  // the queue's own: from 1; 0: not there

 protected:
  ~Outgoing() = default;
};

class SendQueue {
 public:
  explicit SendQueue(bool use_io_uring);
  ~SendQueue();
  SendQueue(const SendQueue&) = delete;
  SendQueue& operator=(const SendQueue&) = delete;

  // Sends it with the others; nothing happens if it is there already.
  void add(Outgoing& item) {
    if (item.queue_place != 0) return;
    items_.push_back(&item);
    item.queue_place = items_.size();
  }
  void remove(Outgoing& item) {
    if (item.queue_place == 0) return;
    items_[item.queue_place - 1] = nullptr;
    item.queue_place = 0;
  }
  // Offers everything to the kernel and empties the queue; what the kernel does not take stays with its owner.
  void send_all() {
    if (!items_.empty()) send_items();
  }
  // Memory for what waits to be sent: sockets with nothing to send need none of their own.
  Block take_memory() {
    if (spare_.empty()) return {};
    Block memory = std::move(spare_.back());
    spare_.pop_back();
    return memory;
  }
  void give_memory(Block memory) {
    if (spare_.size() < kSpares && memory.size <= kLargestSpare) spare_.push_back(std::move(memory));
  }
  // Whether the last send_all() of more than one socket was one system call.
  bool batches() const { return ring_ != nullptr; }

 private:
  static constexpr size_t kSpares = 256, kLargestSpare = 16384;
  struct Ring;
  void send_items();
  void send_batch(size_t first, size_t count);
  void open_ring();

  bool wanted_;  // a ring, once there is something for it
  std::unique_ptr<Ring> ring_;
  std::vector<Outgoing*> items_;
  std::vector<Outgoing*> batch_;  // of plain sockets
  std::vector<Block> spare_;
};

}  // namespace pgb::net
