#include "pgwire/txn_tracker.h"

#include <algorithm>

namespace pgb::pgwire {
namespace {

constexpr char kQuery = 'Q';
constexpr char kSync = 'S';
constexpr char kCopyEnd = 'c';

bool answered(char sent) { return sent == kQuery || sent == kSync; }

}  // namespace

size_t TxnTracker::pending() const { return static_cast<size_t>(std::count_if(sent_.begin(), sent_.end(), answered)); }

void TxnTracker::on_frontend(char tag) {
  switch (tag) {
    case fe::kQuery:
    case fe::kFunctionCall:
      sent_.push_back(kQuery);
      unsynced_ = false;
      break;
    case fe::kSync:
      // A server that reads COPY data throws Sync away.
      if (copy_ == Copy::kIn) break;
      sent_.push_back(kSync);
      unsynced_ = false;
      break;
    case fe::kCopyDone:
    case fe::kCopyFail:
      if (copy_ == Copy::kIn) {
        copy_ = Copy::kNone;
      } else if (copy_ == Copy::kNone) {
        sent_.push_back(kCopyEnd);  // ahead of the server's CopyInResponse, or after its error
      }
      break;
    case fe::kParse:
    case fe::kBind:
    case fe::kDescribe:
    case fe::kExecute:
    case fe::kClose:
    case fe::kFlush: unsynced_ = true; break;
    case fe::kTerminate: terminated_ = true; break;
    default: break;
  }
}

// The server now reads COPY data: every Sync between the statement that began it and the end of the
// data is thrown away there, so no answer will come to it (libpq sends such a Sync after Execute).
void TxnTracker::copy_in_started(Copy kind) {
  copy_ = kind;
  auto at = std::find_if(sent_.begin(), sent_.end(), answered);
  bool simple = at != sent_.end() && *at == kQuery;
  at = simple ? at + 1 : sent_.begin();
  while (at != sent_.end() && *at == kSync) at = sent_.erase(at);
  if (at != sent_.end() && *at == kCopyEnd) {
    sent_.erase(at);
    if (kind == Copy::kIn) copy_ = Copy::kNone;
  }
  if (!simple && pending() == 0) unsynced_ = true;
}

void TxnTracker::ready(std::string_view payload) {
  if (payload.size() == 1) status_ = static_cast<TxnStatus>(payload[0]);
  copy_ = Copy::kNone;
  while (!sent_.empty()) {
    char front = sent_.front();
    sent_.pop_front();
    if (answered(front)) break;
  }
}

void TxnTracker::on_backend(char tag, std::string_view payload) {
  switch (tag) {
    case be::kReadyForQuery: ready(payload); break;
    case be::kCopyInResponse: copy_in_started(Copy::kIn); break;
    case be::kCopyBothResponse: copy_in_started(Copy::kBoth); break;
    case be::kCopyOutResponse: copy_ = Copy::kOut; break;
    case be::kCopyDone:
      if (copy_ == Copy::kOut) copy_ = Copy::kNone;
      break;
    case be::kErrorResponse:
    case be::kCommandComplete: copy_ = Copy::kNone; break;
    default: break;
  }
}

}  // namespace pgb::pgwire
