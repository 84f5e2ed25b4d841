#include "net/send_queue.h"

#include <liburing.h>
#include <sys/socket.h>

#include <algorithm>
#include <utility>

namespace pgb::net {
namespace {
constexpr unsigned kEntries = 64;  // of one system call
}

struct SendQueue::Ring {
  io_uring ring = {};
  bool open = false;
  ~Ring() {
    if (open) io_uring_queue_exit(&ring);
  }
};

SendQueue::SendQueue(bool use_io_uring) : wanted_(use_io_uring) {}

SendQueue::~SendQueue() = default;

// On the thread that uses it, which the kernel may take note of. Many container hosts forbid it: nothing is lost then.
void SendQueue::open_ring() {
  if (!std::exchange(wanted_, false)) return;
  auto fresh = std::make_unique<Ring>();
  if (io_uring_queue_init(kEntries, &fresh->ring, IORING_SETUP_SUBMIT_ALL) != 0) return;
  fresh->open = true;
  io_uring_register_ring_fd(&fresh->ring);  // saves the kernel a look-up; works without
  ring_ = std::move(fresh);
}

void SendQueue::send_items() {
  batch_.clear();
  // By number: what is written may make its owner remove it, or another one.
  for (size_t i = 0; i < items_.size(); ++i) {
    Outgoing* item = items_[i];
    if (item == nullptr) continue;
    item->queue_place = 0;
    if (item->waiting().empty()) continue;
    if (item->plain_socket() < 0) {
      item->write_waiting();
    } else {
      batch_.push_back(item);
    }
  }
  items_.clear();
  if (batch_.size() > 1) open_ring();
  for (size_t at = 0; at < batch_.size(); at += kEntries)
    send_batch(at, std::min<size_t>(kEntries, batch_.size() - at));
}

void SendQueue::send_batch(size_t first, size_t count) {
  size_t told = 0;
  if (ring_ && count > 1) {
    io_uring* ring = &ring_->ring;
    for (size_t i = first; i < first + count; ++i) {
      io_uring_sqe* entry = io_uring_get_sqe(ring);
      const std::string_view bytes = batch_[i]->waiting();
      io_uring_prep_send(entry, batch_[i]->plain_socket(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      io_uring_sqe_set_data64(entry, i);
    }
    io_uring_submit_and_wait(ring, static_cast<unsigned>(count));
    io_uring_cqe* done = nullptr;
    unsigned head = 0, seen = 0;
    io_uring_for_each_cqe(ring, head, done) {
      const auto i = static_cast<size_t>(io_uring_cqe_get_data64(done));
      std::exchange(batch_[i], nullptr)->written(done->res);
      ++seen;
    }
    io_uring_cq_advance(ring, seen);
    told = seen;
    if (told < count) ring_.reset();  // it took less than it was given: the rest must not be sent by it later
  }
  if (told == count) return;
  for (size_t i = first; i < first + count; ++i) {
    if (batch_[i] != nullptr) batch_[i]->write_waiting();
  }
}

}  // namespace pgb::net
