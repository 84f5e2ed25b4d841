// What a member of a group must not forget when its agent or machine is restarted: pgbalancer.ha beside PGDATA, so
// that it shares the volume's fate. Written through to the disk before the fact is published or acted on.
#pragma once

#include <mutex>
#include <string>

#include "base/result.h"
#include "ha/view.h"

namespace pgb::agent {

class Memory {
 public:
  explicit Memory(std::string file) : file_(std::move(file)) {}

  // Reads the file. An absent one is a success: nothing was promised yet. kIo, kProtocol: it cannot be trusted.
  Status load();

  struct Facts {
    ha::Epoch promised = 0, led = 0;  // see ha::NodeView
    bool founder = false;             // the data directory was made as the group's first
    bool known = false;               // there was such a file, or something was written since
    ha::Time promised_at{};           // of the last rise of `promised`, or of load(); in memory only
  };
  Facts facts() const;

  // Each is on the disk when it returns success; a promise never becomes less. Any thread may call.
  Status promise(ha::Epoch epoch);
  Status set_led(ha::Epoch epoch);
  Status promise_and_follow(ha::Epoch epoch);  // promise, and led = 0, in one step
  Status set_founder(bool founder);

 private:
  Status write(const Facts& facts);

  std::string file_;
  mutable std::mutex mutex_;
  Facts facts_;
};

}  // namespace pgb::agent
