// Servers that are at work for somebody who does not wait for it any more: they are not closed before they have ended
// it, for until then their processes are there, and count.
#include "proxy/pool.h"

namespace pgb::proxy {
namespace {

constexpr int64_t kLongest = 30'000'000'000;   // ns: then it counts no more
constexpr int64_t kCancelled = 5'000'000'000;  // the same, of one that was asked to end it
constexpr int64_t kAgain = 1'000'000'000;      // ns between two cancel requests: there may be several statements

// It waits for somebody who says nothing any more.
bool has_ended(const Server& server) { return server.quiet() || server.skipping() || server.wants_copy(); }

}  // namespace

void Pool::end_work(Server& server, bool cancel, std::function<void(WorkEnd)> on_end) {
  auto ending = std::make_unique<Ending>();
  ending->server = &server;
  ending->cancel = cancel;
  ending->errors = server.errors;
  ending->until = context_.now_ns() + (cancel ? kCancelled : kLongest);
  ending->on_end = std::move(on_end);
  server.serve(this);
  server.retire = true;
  endings_.push_back(std::move(ending));
  look_at_endings();
}

bool Pool::is_ending(const Server& server) const {
  return std::any_of(endings_.begin(), endings_.end(), [&](const auto& ending) { return ending->server == &server; });
}

void Pool::look_at_endings() {
  const int64_t now = context_.now_ns();
  for (size_t i = 0; i < endings_.size();) {
    Ending& ending = *endings_[i];
    Server& server = *ending.server;
    if (!ending.job && (has_ended(server) || now >= ending.until)) {
      const bool failed = server.errors != ending.errors;
      end_ending(i, !has_ended(server) ? WorkEnd::kUnknown : failed ? WorkEnd::kFailed : WorkEnd::kDone);
      continue;
    }
    ++i;
    if (!ending.cancel || ending.job || now < ending.cancel_at) continue;
    ending.cancel_at = now + kAgain;
    ending.job = std::make_unique<CancelJob>(context_, [this, which = &ending] {
      const auto here = std::find_if(endings_.begin(), endings_.end(), [&](const auto& e) { return e.get() == which; });
      if (here != endings_.end()) (*here)->job.reset();
    });
    ending.job->start(server.address(), server.pid(), server.key(), server.tls(), server.node().tls_name());
  }
}

void Pool::end_ending(size_t at, WorkEnd how) {
  const std::unique_ptr<Ending> ending = std::move(endings_[at]);
  endings_.erase(endings_.begin() + static_cast<std::ptrdiff_t>(at));
  if (ending->on_end) context_.loop.post([on_end = std::move(ending->on_end), how] { on_end(how); });
  if (ending->server->state() != Server::State::kClosed) discard(*ending->server);
}

void Pool::server_lost(Server& server, const Loss&) {
  for (size_t i = 0; i < endings_.size(); ++i) {
    if (endings_[i]->server != &server) continue;
    return end_ending(i, WorkEnd::kUnknown);
  }
}

}  // namespace pgb::proxy
