// A store in this process: in memory alone, or with a log in a directory, which makes every answered write durable.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "dcs/dcs.h"

namespace pgb::dcs {

class LocalStore : public Dcs {
 public:
  using Clock = std::function<std::chrono::steady_clock::time_point()>;

  // In memory. With a clock of the caller's, leases run out by that clock, and only during a call or tick(); without
  // one by the machine's, on a thread of their own.
  static std::unique_ptr<LocalStore> in_memory(Clock clock = nullptr);

  // From DIRECTORY/leases.log, which is made if absent (0600, directory 0700). All leases begin anew with their full
  // time. Errors are the log's: kBusy (another process has it), kIo (it is damaged: says where), kDiskFull.
  // A write that the log cannot take is refused with kDiskFull or kIo; if the disk leaves open what it holds: kInDoubt.
  static Result<std::unique_ptr<LocalStore>> open(const std::string& directory);

  // Ends the leases that have run out by now.
  virtual void tick() = 0;

  // Waits for changes below `prefix` from revision `from` on (0: from now on) and returns what there is; at the
  // deadline, or when cancelled, no events, and a revision to go on after. kCompacted as in watch().
  virtual Result<Changes> next_changes(const std::string& prefix, Revision from, Deadline deadline,
                                       Canceller* canceller) = 0;

  virtual Revision revision() const = 0;
};

}  // namespace pgb::dcs
