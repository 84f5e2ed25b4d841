// What a server answers: each message is held against what is expected, and passed on in as few pieces as can be.
#include "base/log.h"
#include "proxy/message_bytes.h"
#include "proxy/refusals.h"
#include "proxy/server.h"

namespace pgb::proxy {
namespace {

using IoKind = net::IoResult::Kind;
namespace be = pgwire::be;
constexpr int kMaxReads = 16;                 // in one go, so that one busy server does not starve the others
constexpr size_t kMaxInspected = 256 * 1024;  // of a message that we look into

bool may_come_unasked(char tag) {
  return tag == be::kNoticeResponse || tag == be::kParameterStatus || tag == be::kNotificationResponse ||
         tag == be::kErrorResponse;
}

}  // namespace

void Server::read_some() {
  auto& scratch = context_->scratch;
  for (int i = 0; i < kMaxReads; ++i) {
    if (user_ != nullptr && user_->congested()) return;
    const net::IoResult got = link_.read(scratch.data(), scratch.size());
    if (got.kind == IoKind::kWait) return;
    if (got.kind != IoKind::kDone) {
      return lost(user_ == nullptr ? "closed while idle" : "the server " + node_.name + " closed the connection",
                  got.kind == IoKind::kClosed);
    }
    context_->stats.bytes_from_servers += got.count;
    const bool was_behind = is_behind(), was_skipping = skipping_;
    const bool was_idle = user_ == nullptr;
    consume(std::string_view(scratch.data(), got.count));
    if (state_ == State::kClosed || context_ == nullptr) return;
    // A pipeline may go on for long before its first Sync.
    if (was_behind && !is_behind() && user_ != nullptr) user_->server_drained();
    if (state_ == State::kClosed || context_ == nullptr) return;
    if (!was_skipping && skipping_ && user_ != nullptr) user_->server_skips();
    if (state_ == State::kClosed || context_ == nullptr) return;
    // That was all there is. But one that says something while nobody asks says goodbye: it must not be given to who
    // asks for a server now.
    if (got.count < scratch.size() && !link_.stream->encrypted() && !was_idle) return;
  }
}

void Server::pass(std::string_view bytes) {
  if (!bytes.empty() && user_ != nullptr && !taking_back_) user_->server_says(bytes);
}

// Whether the message must have come whole before we do anything with it.
bool Server::wants_whole(char tag) const {
  if (!expected_.empty() && expected_.front().kind == Expectation::Kind::kInternal) return true;
  return tag == be::kReadyForQuery || tag == be::kErrorResponse || tag == be::kParameterStatus ||
         tag == be::kNoticeResponse;
}

void Server::consume(std::string_view in) {
  size_t at = 0, passed = 0;  // in[passed, at) is to be passed on
  const auto pass_up_to = [&](size_t end) {
    if (end > passed) pass(in.substr(passed, end - passed));
    passed = end;
  };
  while (at < in.size()) {
    if (body_left_ > 0) {
      const size_t step = std::min(body_left_, in.size() - at);
      if (!body_passes_) {
        pass_up_to(at);
        passed = at + step;
      }
      at += step;
      body_left_ -= step;
      continue;
    }
    std::string_view rest = in.substr(at);
    const bool carried = !carry_.empty();
    size_t taken = 0;  // of `in`, into carry_
    if (carried) {
      const auto fill = [&](size_t wanted) {
        const size_t step = std::min(wanted > carry_.size() ? wanted - carry_.size() : 0, rest.size() - taken);
        carry_.append(rest.substr(taken, step));
        taken += step;
        return carry_.size() >= wanted;
      };
      bool whole = fill(pgwire::kHeaderSize);
      if (whole && length_word(carry_) >= 4) {
        const size_t total = size_t{length_word(carry_)} + 1;
        if (wants_whole(carry_[0]) && total <= kMaxInspected) whole = fill(total);
      }
      if (!whole) return;
      rest = carry_;
    }
    const bool has_header = rest.size() >= pgwire::kHeaderSize;
    const uint32_t length = has_header ? length_word(rest) : 4;
    if (length < 4) return lost("the server " + node_.name + " sent what is not PostgreSQL");
    const size_t total = size_t{length} + 1;
    const bool whole = has_header && wants_whole(rest[0]) && total <= kMaxInspected;
    if (!has_header || (whole && rest.size() < total)) {
      pass_up_to(at);
      carry_.assign(rest);
      return;
    }
    if (local_is_next()) {
      foresee(rest);
      pass_up_to(at);
      local_answers();
    }
    if (user_ == nullptr && !may_come_unasked(rest[0])) {
      log::warn("the server " + node_.name + " said something that nobody asked for, and is not used any more");
      return lost("closed while idle");
    }
    const size_t here = std::min(total, rest.size());
    const Fate fate = on_message(rest[0], rest.substr(0, here));
    body_left_ = total - here;
    body_passes_ = fate == Fate::kPass && user_ != nullptr;  // whom it serves next gets no half message
    if (carried) {
      passed = at;
      if (fate == Fate::kPass) pass(std::string_view(carry_).substr(0, here));
      carry_.clear();
      at += taken;
      passed = at;
    } else {
      if (fate == Fate::kSwallow) pass_up_to(at);
      at += here;
      if (fate == Fate::kSwallow) passed = at;
    }
    if (body_left_ == 0 && (ready_ || answered_ || ends_ || local_is_next())) {
      pass_up_to(at);
      says_more_ = at < in.size();
      after_message();
      says_more_ = false;
      if (state_ == State::kClosed || context_ == nullptr) return;
    }
  }
  pass_up_to(in.size());
}

// What follows from a message once it has been passed on.
void Server::after_message() {
  if (ends_) return lost("the server " + node_.name + " was shut down");
  local_answers();
  if (answered_) {
    const Purpose purpose = *answered_;
    answered_.reset();
    InternalAnswer answer = std::move(answer_);
    answer_ = InternalAnswer();
    if (user_ != nullptr) user_->server_answered(*this, purpose, std::move(answer));
  } else if (ready_) {
    ready_ = taking_back_ = false;
    if (user_ != nullptr) user_->server_ready(*this);
  }
}

bool Server::local_is_next() const {
  if (expected_.empty()) return false;
  const Expectation::Kind kind = expected_.front().kind;
  return kind == Expectation::Kind::kParseLocal || kind == Expectation::Kind::kCloseLocal;
}

void Server::local_answers() {
  static constexpr std::string_view kParseComplete("1\0\0\0\4", 5), kCloseComplete("3\0\0\0\4", 5);
  while (local_is_next()) {
    const Expectation::Kind kind = expected_.front().kind;
    expected_.pop();
    pass(kind == Expectation::Kind::kParseLocal ? kParseComplete : kCloseComplete);
  }
}

Server::Fate Server::expected_answer(Expectation::Kind kind) {
  if (!expected_.empty() && expected_.front().kind == kind) expected_.pop();
  return Fate::kPass;
}

Server::Fate Server::on_message(char tag, std::string_view raw) {
  using Kind = Expectation::Kind;
  said_fatal_ = false;
  if (tag == be::kParameterStatus) {
    if (auto status = pgwire::decode_parameter_status(raw.substr(pgwire::kHeaderSize))) {
      reported_[status->name] = status->value;
    }
  }
  if (!expected_.empty() && expected_.front().kind == Kind::kInternal) return internal_message(tag, raw);
  const Kind front = expected_.empty() ? Kind::kQuery : expected_.front().kind;
  switch (tag) {
    case be::kParseComplete:
    case be::kCloseComplete: {
      const bool ours = front == Kind::kParseOurs || front == Kind::kCloseOurs;
      if (ours || front == Kind::kParse || front == Kind::kClose) expected_.pop();
      return ours ? Fate::kSwallow : Fate::kPass;
    }
    case be::kBindComplete: return expected_answer(Kind::kBind);
    case be::kRowDescription:
    case be::kNoData: return expected_answer(Kind::kDescribe);
    case be::kCommandComplete:
    case be::kEmptyQueryResponse:
    case be::kPortalSuspended: expected_answer(Kind::kExecute); return expected_answer(Kind::kCopyEnd);
    case be::kCopyInResponse:
    case be::kCopyBothResponse: on_copy_in(); return Fate::kPass;
    case be::kErrorResponse: return on_error(raw);
    case be::kNoticeResponse: return on_notice(raw);
    case be::kReadyForQuery: return on_ready(raw);
    default: return Fate::kPass;
  }
}

// The server ignores a Sync that it reads while a COPY is coming in: it will not answer those that were sent before
// the end of the data.
void Server::on_copy_in() {
  copy_in_ = true;
  for (size_t i = 0; i < expected_.size(); ++i) {
    if (expected_.at(i).kind == Expectation::Kind::kCopyEnd) copy_in_ = false;
  }
  if (expected_.empty() || expected_.front().kind != Expectation::Kind::kExecute) return;
  for (size_t i = 1; i < expected_.size() && expected_.at(i).kind != Expectation::Kind::kCopyEnd;) {
    if (expected_.at(i).kind == Expectation::Kind::kSync) {
      expected_.erase(i);
    } else {
      ++i;
    }
  }
}

Server::Fate Server::on_error(std::string_view raw) {
  const auto error = pgwire::decode_error(raw.substr(pgwire::kHeaderSize));
  ++errors;
  copy_in_ = false;
  // Perhaps it is the primary no more, or ends.
  const bool doubt = error && (error->sqlstate == pgwire::sqlstate::kReadOnlyTransaction ||
                               error->sqlstate.compare(0, 4, "57P0") == 0);
  if (doubt) context_->shared.settings.bell->ring(context_->now_ns());
  if (error && is_end(*error)) return Fate::kSwallow;
  taking_back_ = taking_back_ || (error && is_taken_back(*error));
  if (error && error->fatal()) {
    said_fatal_ = true;
  } else if (!expected_.empty() && expected_.front().kind != Expectation::Kind::kQuery) {
    skip_to_sync();
  }
  if (error && is_of_old_plan(*error)) forget_old_plans();
  return Fate::kPass;
}

bool Server::is_taken_back(const pgwire::ErrorResponse& error) {
  return !error.fatal() && user_ != nullptr && user_->goes_elsewhere(*this, error);
}

// An answer of our own, which is due, must not go out ahead of an error by which the request goes elsewhere.
void Server::foresee(std::string_view rest) {
  while (!taking_back_ && rest.size() >= pgwire::kHeaderSize) {
    const size_t total = size_t{length_word(rest)} + 1;
    if (total < pgwire::kHeaderSize || total > rest.size()) return;
    switch (rest[0]) {
      case be::kParseComplete:
      case be::kBindComplete:
      case be::kCloseComplete:
      case be::kParameterDescription:
      case be::kRowDescription:
      case be::kNoData: break;
      case be::kErrorResponse: {
        const auto error = pgwire::decode_error(rest.substr(pgwire::kHeaderSize, total - pgwire::kHeaderSize));
        taking_back_ = error && is_taken_back(*error);
        return;
      }
      default: return;
    }
    rest.remove_prefix(total);
  }
}

// A fatal error that says no more than that this server is not there any more. It reads nothing after that.
bool Server::is_end(const pgwire::ErrorResponse& error) {
  if (error.fatal() && user_ == nullptr) return ends_ = true;
  const bool shut_down = error.sqlstate == pgwire::sqlstate::kAdminShutdown ||
                         error.sqlstate == pgwire::sqlstate::kCrashShutdown ||
                         error.sqlstate == pgwire::sqlstate::kCannotConnectNow;
  if (!error.fatal() || !shut_down || user_ == nullptr || !user_->outlives(*this)) return false;
  last_words_ = error.message;
  ends_ = true;
  return true;
}

// A server that is shut down at once, or whose neighbour crashed, says so in a warning and closes the connection. (So
// does one that gives up waiting for a standby's confirmation, of a commit that it has made.)
Server::Fate Server::on_notice(std::string_view raw) {
  if (raw.find("C57P0") == std::string_view::npos) return Fate::kPass;
  const auto notice = pgwire::decode_error(raw.substr(pgwire::kHeaderSize));
  const bool ends = notice && (notice->sqlstate == pgwire::sqlstate::kAdminShutdown ||
                               notice->sqlstate == pgwire::sqlstate::kCrashShutdown);
  if (!ends || user_ == nullptr || !user_->outlives(*this)) return Fate::kPass;
  last_words_ = notice->message + (notice->detail.empty() ? "" : ": " + notice->detail);
  return Fate::kSwallow;
}

void Server::skip_to_sync() {
  using Kind = Expectation::Kind;
  for (bool failed = true; !expected_.empty() && expected_.front().kind != Kind::kSync; failed = false) {
    const Expectation& gone = expected_.front();
    if (gone.change != 0 && user_ != nullptr) user_->server_skipped(gone.change, failed);
    if (gone.kind == Kind::kParse || gone.kind == Kind::kParseOurs) {
      if (gone.statement != 0) {
        forget(gone.statement);
      } else {
        unnamed = 0;
      }
    }
    if (gone.kind == Kind::kCloseOurs && gone.statement != 0) touch(gone.statement);  // it stays
    expected_.pop();
  }
  skipping_ = expected_.empty();
}

Server::Fate Server::on_ready(std::string_view raw) {
  status_ = static_cast<pgwire::TxnStatus>(raw.size() > pgwire::kHeaderSize ? raw[pgwire::kHeaderSize] : 'I');
  if (!expected_.empty()) expected_.pop();
  while (!expected_.empty() && expected_.front().kind == Expectation::Kind::kCopyEnd) expected_.pop();
  ready_ = true;
  copy_in_ = false;
  if (taking_back_) return Fate::kSwallow;
  return user_ != nullptr && user_->holds_ready(*this) ? Fate::kSwallow : Fate::kPass;
}

Server::Fate Server::internal_message(char tag, std::string_view raw) {
  const std::string_view payload = raw.substr(pgwire::kHeaderSize);
  switch (tag) {
    case be::kDataRow:
      if (auto row = pgwire::decode_data_row(payload)) answer_.rows.push_back(std::move(row->values));
      break;
    case be::kErrorResponse:
      if (auto error = pgwire::decode_error(payload)) {
        if (is_end(*error)) break;
        said_fatal_ = error->fatal();
        if (said_fatal_) return Fate::kPass;
        if (!answer_.error) answer_.error = std::move(*error);
      }
      break;
    case be::kReadyForQuery:
      status_ = static_cast<pgwire::TxnStatus>(payload.empty() ? 'I' : payload[0]);
      expected_.pop();
      answered_ = purposes_.front();
      purposes_.pop_front();
      break;
    case be::kNotificationResponse: return Fate::kPass;
    case be::kParameterStatus:
      if (purposes_.front() == Purpose::kRestore) return Fate::kPass;
      break;
    default: break;
  }
  return Fate::kSwallow;
}

}  // namespace pgb::proxy
