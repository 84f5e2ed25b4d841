// What a client sends once it is logged in: each message is looked at, routed where a transaction begins, rewritten
// where it names a prepared statement, and else passed on as it came, in as few pieces as can be.
#include <algorithm>
#include <array>

#include "pgwire/error_response.h"
#include "proxy/message_bytes.h"
#include "proxy/session.h"

namespace pgb::proxy {
namespace {

namespace fe = pgwire::fe;
namespace sqlstate = pgwire::sqlstate;
using IoKind = net::IoResult::Kind;
using Kind = Expectation::Kind;

constexpr int kMaxReads = 16;                          // in one go, so that one busy client does not starve the others
constexpr size_t kMaxHeld = 64 * 1024;                 // kept of a client that waits
constexpr size_t kCallHead = pgwire::kHeaderSize + 4;  // of a FunctionCall, up to the function's number

// Nearly all calls are: those of lo_open(), lowrite() and so on leave nothing behind that outlives the transaction.
// Numbers as in pg_proc.dat of PostgreSQL's source, for ever the same.
bool is_about_large_objects(std::string_view call) {
  constexpr std::array<uint32_t, 20> kNumbers = {715, 764, 765,  767,  952,  953,  954,  955,  956,  957,
                                                 958, 964, 1004, 3170, 3171, 3172, 3457, 3458, 3459, 3460};
  return call.size() >= kCallHead &&
         std::find(kNumbers.begin(), kNumbers.end(), read_word(call, pgwire::kHeaderSize)) != kNumbers.end();
}

}  // namespace

void Session::read_client() {
  auto& scratch = context_.scratch;
  for (int i = 0; i < kMaxReads; ++i) {
    if (state_ != State::kReady || choked()) return;
    const net::IoResult got = client_.read(scratch.data(), scratch.size());
    if (got.kind == IoKind::kWait) return;
    if (got.kind != IoKind::kDone) return hung_up();
    context_.stats.bytes_from_clients += got.count;
    pool_->traffic.bytes_from_clients += got.count;
    last_active_ = context_.loop.now();
    const std::string_view bytes(scratch.data(), got.count);
    if (in_.empty()) {
      const size_t used = process(bytes);
      if (state_ != State::kReady) return;
      if (used < bytes.size()) in_.append(bytes.substr(used));
    } else {
      in_.append(bytes);
      resume();
      if (state_ != State::kReady) return;  // it may have been a goodbye: there is no stream any more
    }
    if (got.count < scratch.size() && !client_.stream->encrypted()) return;  // that was all there is
    if (waiting_ && in_.size() >= kMaxHeld) return;
  }
}

// A client that said goodbye behind a request that is still to be done is waited for; one that is simply gone is not.
void Session::hung_up() {
  constexpr std::string_view kGoodbye("X\0\0\0\4", 5);
  const std::string_view kept = in_.view();
  const bool goodbye = kept.size() >= kGoodbye.size() && kept.substr(kept.size() - kGoodbye.size()) == kGoodbye;
  if (!leaving_ && !(waiting_ && goodbye)) return end();
  gone_ = true;
}

// The client does not take what it is owed, or the server is behind with answers: nothing more is looked at.
bool Session::choked() const {
  return client_.congested() || (server_ != nullptr && (server_->congested() || server_->is_behind()));
}

// Goes on with what was kept.
void Session::resume() {
  if (processing_ || state_ != State::kReady || waiting_ || asking_ || in_.empty() || choked()) return;
  const size_t used = process(in_.view());
  if (state_ != State::kReady) return;
  in_.consume(used);
  update_interest();
}

// How many of the bytes are dealt with; the rest must come again, with what follows.
size_t Session::process(std::string_view bytes) {
  processing_ = true;
  last_text_ = nullptr;
  kept_from_ = kNothing;
  Input in{bytes, 0, 0};
  Step how = Step::kOn;
  while (how == Step::kOn && state_ == State::kReady && in.at < bytes.size() && !choked()) how = step(in);
  processing_ = false;
  if (state_ != State::kReady) return bytes.size();
  if (server_ != nullptr) {
    if (kept_from_ != kNothing) keep_request(in);
    if (in.at > in.sent) server_->send(bytes.substr(in.sent, in.at - in.sent));
    server_->flush();
    // The rest of a message that the server had answered already: nobody else will give it back.
    if (std::exchange(body_ended_, false) && server_->idle() && batch_start_ && body_left_ == 0) {
      const size_t done = in.at;
      processing_ = true;  // these bytes are not consumed yet: nobody may look at them again
      maybe_release();
      processing_ = false;
      return done;
    }
    if (std::exchange(flush_asked_, false) || server_->is_behind()) server_->local_answers();
  }
  return in.at;
}

void Session::pass_on(Input& in, size_t total) {
  const size_t here = std::min(total, in.rest().size());
  in.at += here;
  body_left_ = total - here;
  body_goes_ = true;
}

void Session::drop(Input& in, size_t total) {
  put(in, {}, total);
  body_goes_ = false;
}

// Something else goes to the server in place of the next `total` bytes.
void Session::put(Input& in, std::string_view instead, size_t total) {
  if (server_ != nullptr) {
    if (in.at > in.sent) server_->append(in.bytes.substr(in.sent, in.at - in.sent));
    server_->append(instead);
  }
  const size_t here = std::min(total, in.rest().size());
  in.at += here;
  in.sent = in.at;
  body_left_ = total - here;
  body_goes_ = true;
}

Session::Step Session::step(Input& in) {
  if (body_left_ > 0) {
    const size_t here = std::min(body_left_, in.rest().size());
    if (keeps_unnamed_) unnamed_body_.append(in.rest().substr(0, here));
    in.at += here;
    body_left_ -= here;
    keeps_unnamed_ = keeps_unnamed_ && body_left_ > 0;
    body_ended_ = body_ended_ || (body_left_ == 0 && body_goes_);
    if (!body_goes_ || server_ == nullptr) in.sent = in.at;
    return Step::kOn;
  }
  if (waiting_ || asking_) return Step::kWait;
  if (in.rest().size() < pgwire::kHeaderSize) return Step::kMore;
  const uint32_t length = length_word(in.rest());
  if (length < 4 || length > pgwire::kMaxBody) {
    fail(sqlstate::kProtocolViolation, "invalid message length", "message type " + std::to_string(in.rest()[0]));
    return Step::kOn;
  }
  const size_t total = size_t{length} + 1;
  if (skipping_) return skip_step(in, total);
  const size_t before = in.at;
  const Step ready = server_ == nullptr ? begin(in, total) : boundary(in, total);
  if (ready != Step::kOn || in.at != before || state_ != State::kReady || skipping_) return ready;
  return forward(in, total);
}

// The server is there: one message on its way.
Session::Step Session::forward(Input& in, size_t total) {
  if (!kept_.empty()) drop_kept();
  // After a Flush a request may rest for long: what counts is how long the server has had something to do.
  if (requests_ == 0 || server_->quiet()) request_since_ = context_.loop.now();
  if (batch_start_ && may_begin_request(in.rest()[0])) note_request(in);
  const std::string_view message = in.rest().substr(0, std::min(total, in.rest().size()));
  if (context_.pool_settings.log_slow_queries.count() > 0) note_text(message, total);
  switch (message[0]) {
    case fe::kQuery: return query(in, message, total);
    case fe::kParse: return parse(in, message, total);
    case fe::kBind: return bind(in, message, total);
    case fe::kDescribe:
    case fe::kClose: return describe_or_close(in, message, total);
    case fe::kExecute: server_->expect({Kind::kExecute, 0}); break;
    case fe::kFlush: flush_asked_ = true; break;
    case fe::kSync: server_->expect({Kind::kSync, 0}); break;
    case fe::kFunctionCall:
      if (message.size() < std::min(total, kCallHead)) return Step::kMore;
      wrote_ = true;
      plain_ = only_reads_ = false;
      if (pooled()) expect_anything();
      if (!is_about_large_objects(message)) {
        stick("it called a function by its number");
        server_->retire = true;  // it may leave what nothing takes away
      }
      server_->expect({Kind::kQuery, 0});
      break;
    case fe::kCopyData: pass_on(in, total); return Step::kOn;
    case fe::kCopyDone:
    case fe::kCopyFail:
      if (!server_->quiet()) server_->expect({Kind::kCopyEnd, 0});
      pass_on(in, total);
      return Step::kOn;
    case fe::kTerminate: return terminate(in, total);
    default:
      fail(sqlstate::kProtocolViolation, "invalid frontend message type " + std::to_string(message[0]));
      return Step::kOn;
  }
  batch_start_ = message[0] == fe::kSync || message[0] == fe::kFunctionCall;
  pass_on(in, total);
  return Step::kOn;
}

// A goodbye right behind a request: the server does what it was asked for, then the session ends.
Session::Step Session::terminate(Input& in, size_t total) {
  if (!server_->owes_client()) {
    end();
    return Step::kOn;
  }
  put(in, {}, total);
  // Without its Sync, or the end of its data, it comes to nothing.
  if (!batch_start_ || server_->skipping() || server_->wants_copy()) {
    end();
    return Step::kOn;
  }
  leaving_ = waiting_ = waiting_quiet_ = true;
  wait_until_ = Deadline::never();
  return Step::kWait;
}

bool Session::pooled() const { return !dedicated_ && mode_ != PoolMode::kSession; }

// No server yet: what needs none is answered at once, for all else one is borrowed.
Session::Step Session::begin(Input& in, size_t total) {
  const std::string_view rest = in.rest();
  Look look;
  std::string refusal;
  switch (rest[0]) {
    case fe::kTerminate: end(); return Step::kOn;
    case fe::kSync:
      drop(in, total);
      send_ready();
      return Step::kOn;
    case fe::kFlush:
    case fe::kCopyData:
    case fe::kCopyDone:
    case fe::kCopyFail: drop(in, total); return Step::kOn;  // as a server that copies nothing would
    default: break;
  }
  if (!may_begin_request(rest[0])) {
    fail(sqlstate::kProtocolViolation, "invalid frontend message type " + std::to_string(rest[0]));
    return Step::kOn;
  }
  if (!lost_.empty()) {
    const size_t before = in.at;
    const Step ready = lost_step(in, total);
    if (ready != Step::kOn || in.at != before || skipping_) return ready;
  }
  if (!look_at_request(rest, total, look, refusal)) return Step::kMore;
  if (look.verdict != nullptr && answer_ourselves(in, *look.verdict, total)) return Step::kOn;
  if (refused_by_mode(refusal)) return Step::kOn;
  if (std::exchange(to_primary_, false)) {
    look.replica = false;
    look.counted_as = reason::kRefusedStatement;
    look.reason = context_.shared.reasons.text(look.counted_as);
  }
  return acquire(look);
}

// A new request while the last one's server is still there. A replica may go on only with reads.
Session::Step Session::boundary(Input& in, size_t total) {
  if (!batch_start_) return Step::kOn;
  // What the server skips of the last request decides what the names of this one mean, and which statements it has.
  const bool unsettled = (!changes_.empty() || discards_ || parses_ours_) && !server_->quiet() && !server_->skipping();
  if (unsettled && may_begin_request(in.rest()[0])) {
    waiting_ = waiting_quiet_ = true;
    wait_until_ = Deadline::never();
    return Step::kWait;
  }
  if (context_.keeping_back && may_begin_request(in.rest()[0]) && waits_here()) return Step::kWait;
  if (!pooled() || !routed_replica_) return Step::kOn;
  unjudged_ = false;
  const std::string_view rest = in.rest();
  Look look;
  std::string refusal;
  if (!may_begin_request(rest[0])) return Step::kOn;
  if (!look_at_request(rest, total, look, refusal)) return Step::kMore;
  if (look.replica && may_read_on()) return Step::kOn;
  const bool settled = server_->quiet() && (!pinned_.empty() || server_->status() != pgwire::TxnStatus::kIdle);
  if (settled) return go_on_at_replica(in, total, look);
  if (server_->idle() && server_->holds == 0) {  // nothing is under way that could wake it
    release();
    return begin(in, total);
  }
  if (server_->skipping()) return Step::kOn;  // up to a Sync that is still to come
  waiting_ = waiting_quiet_ = true;
  wait_until_ = Deadline::never();
  return Step::kWait;
}

void Session::send_ready() {
  const char alone = lost_.empty() ? 'I' : 'E';
  const char status = server_ == nullptr ? alone : static_cast<char>(server_->status());
  const char bytes[] = {pgwire::be::kReadyForQuery, 0, 0, 0, 5, status};
  send_client(std::string_view(bytes, sizeof bytes));
}

// The request that waits is answered with an error and dropped up to its end; the session goes on.
void Session::skip_request(std::string_view sqlstate, const std::string& message, const std::string& detail) {
  if (queued_) pool_->forget(*this);
  queued_ = waiting_ = moving_ = false;
  send_error(sqlstate, message, detail);
  skipping_ = true;
  resume();
  update_interest();
}

Session::Step Session::skip_step(Input& in, size_t total) {
  const char tag = in.rest()[0];
  if (tag == fe::kTerminate) {
    end();
    return Step::kOn;
  }
  drop(in, total);
  if (tag != fe::kQuery && tag != fe::kFunctionCall && tag != fe::kSync) return Step::kOn;
  skipping_ = false;
  batch_start_ = true;
  send_ready();
  return Step::kOn;
}

}  // namespace pgb::proxy
