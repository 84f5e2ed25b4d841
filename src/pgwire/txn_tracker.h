// Follows both directions of one server connection after authentication and knows when it is idle.
#pragma once

#include <deque>
#include <string_view>

#include "pgwire/types.h"

namespace pgb::pgwire {

// Call on_frontend for every message in the order it is sent to the server and on_backend for every
// message in the order it comes from there. When in doubt, it says busy.
class TxnTracker {
 public:
  enum class Copy { kNone, kIn, kOut, kBoth };

  void on_frontend(char tag);
  // `payload` is read for ReadyForQuery only.
  void on_backend(char tag, std::string_view payload);

  TxnStatus status() const { return status_; }  // of the last ReadyForQuery
  Copy copy() const { return copy_; }
  // Answers (ReadyForQuery) that are still to come.
  size_t pending() const;
  // Nothing is under way: no answer to come, no message waiting for a Sync, no COPY.
  bool quiet() const { return !unsynced_ && copy_ == Copy::kNone && pending() == 0; }
  // quiet and outside a transaction: the connection can serve another client.
  bool idle() const { return quiet() && status_ == TxnStatus::kIdle && !terminated_; }
  bool in_transaction() const { return status_ != TxnStatus::kIdle; }

 private:
  void copy_in_started(Copy kind);
  void ready(std::string_view payload);

  // What the server still has to read: Query 'Q' (also FunctionCall), Sync 'S', end of COPY 'c'.
  std::deque<char> sent_;
  TxnStatus status_ = TxnStatus::kIdle;
  Copy copy_ = Copy::kNone;
  bool unsynced_ = false;
  bool terminated_ = false;
};

}  // namespace pgb::pgwire
