#include "proxy/cancel_registry.h"

#include <sys/random.h>

#include "base/secret.h"

namespace pgb::proxy {

Result<CancelRegistry::Ticket> CancelRegistry::add(Target target) {
  Ticket ticket;
  ticket.key.resize(4);
  if (::getrandom(ticket.key.data(), ticket.key.size(), 0) != static_cast<ssize_t>(ticket.key.size())) {
    return Error(Code::kInternal, "the kernel gave no random bytes for a cancel key");
  }
  const std::lock_guard lock(mutex_);
  do {
    ticket.pid = next_pid_;
    next_pid_ = next_pid_ == 0x7fffffff ? 1 : next_pid_ + 1;
  } while (entries_.count(ticket.pid) != 0);
  entries_.emplace(ticket.pid, Entry{ticket.key, target});
  return ticket;
}

void CancelRegistry::remove(uint32_t pid) {
  const std::lock_guard lock(mutex_);
  entries_.erase(pid);
}

std::optional<CancelRegistry::Target> CancelRegistry::find(uint32_t pid, const std::string& key) const {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(pid);
  if (found == entries_.end() || !Secret(found->second.key).equals(key)) return std::nullopt;
  return found->second.target;
}

void CancelRegistry::set_elsewhere(Elsewhere give) {
  const std::lock_guard lock(mutex_);
  elsewhere_ = std::move(give);
}

bool CancelRegistry::give_elsewhere(os::UniqueFd end) const {
  const std::lock_guard lock(mutex_);
  return elsewhere_ && elsewhere_(std::move(end));
}

}  // namespace pgb::proxy
