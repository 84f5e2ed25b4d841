#include "proxy/console_talk.h"

#include <algorithm>

#include "base/strings.h"
#include "pgwire/writer.h"

namespace pgb::proxy {
namespace {

namespace fe = pgwire::fe;
namespace be = pgwire::be;
namespace sqlstate = pgwire::sqlstate;
using Type = ConsoleColumn::Type;

constexpr int16_t kBinary = 1;

// One format stands for all columns.
int16_t format_of(const std::vector<int16_t>& formats, size_t column) {
  if (formats.size() == 1) return formats[0];
  return column < formats.size() ? formats[column] : int16_t{0};
}

std::string big_endian(int64_t value, unsigned bytes) {
  std::string out;
  for (unsigned i = bytes; i-- > 0;) out += static_cast<char>(static_cast<uint64_t>(value) >> (8 * i));
  return out;
}

std::string in_format(const std::string& text, Type type, int16_t format) {
  if (format != kBinary || type == Type::kText) return text;
  return big_endian(std::strtoll(text.c_str(), nullptr, 10), type == Type::kInt ? 4 : 8);
}

void encode_columns(std::string& out, const std::vector<ConsoleColumn>& columns, const std::vector<int16_t>& formats) {
  constexpr uint32_t kText = 25, kInt4 = 23, kInt8 = 20;  // oids
  pgwire::RowDescription description;
  for (size_t i = 0; i < columns.size(); ++i) {
    const Type type = columns[i].type;
    pgwire::FieldDescription field;
    field.name = columns[i].name;
    field.type_oid = type == Type::kText ? kText : type == Type::kInt ? kInt4 : kInt8;
    field.type_size = static_cast<int16_t>(type == Type::kText ? -1 : type == Type::kInt ? 4 : 8);
    field.format = format_of(formats, i);
    description.fields.push_back(std::move(field));
  }
  pgwire::encode(out, description);
}

void encode_row(std::string& out, const ConsoleAnswer& answer, size_t row, const std::vector<int16_t>& formats) {
  pgwire::DataRow data;
  for (size_t i = 0; i < answer.rows[row].size(); ++i) {
    const auto& value = answer.rows[row][i];
    if (!value) {
      data.values.emplace_back();
      continue;
    }
    const Type type = i < answer.columns.size() ? answer.columns[i].type : Type::kText;
    data.values.emplace_back(in_format(*value, type, format_of(formats, i)));
  }
  pgwire::encode(out, data);
}

void encode_notice(std::string& out, const std::string& text) {
  if (text.empty()) return;
  const size_t end = std::min(text.find('\n'), text.size());
  pgwire::ErrorResponse notice;
  notice.severity = "NOTICE";
  notice.sqlstate = "00000";
  notice.message = text.substr(0, end);
  notice.detail = end < text.size() ? text.substr(end + 1) : "";
  pgwire::encode_notice(out, notice);
}

void encode_end(std::string& out, const ConsoleAnswer& answer) {
  if (answer.tag.empty()) return pgwire::encode_empty(out, be::kEmptyQueryResponse);
  pgwire::encode(out, pgwire::CommandComplete{answer.tag});
}

// What encode() may be given: columns and rows agree, and formats are known.
bool are_known(const std::vector<int16_t>& formats) {
  return std::all_of(formats.begin(), formats.end(), [](int16_t format) { return format == 0 || format == kBinary; });
}

}  // namespace

void encode_answer(std::string& out, const ConsoleAnswer& answer) {
  if (answer.error) return pgwire::encode(out, *answer.error);
  encode_notice(out, answer.notice);
  if (!answer.columns.empty()) encode_columns(out, answer.columns, {});
  for (size_t row = 0; row < answer.rows.size(); ++row) encode_row(out, answer, row, {});
  encode_end(out, answer);
}

ConsoleTalk::Next ConsoleTalk::next() {
  for (;;) {
    const pgwire::Step step = framer_.next();
    if (step.kind == pgwire::Step::Kind::kBad) {
      error_ = framer_.error();
      return Next::kBroken;
    }
    if (step.kind != pgwire::Step::Kind::kMessage) return Next::kMore;
    if (step.tag == fe::kTerminate) return Next::kEnd;
    bool ask = false;
    if (!message(step, ask)) {
      if (error_.empty()) error_ = "a message cannot be read";
      return Next::kBroken;
    }
    if (ask) return Next::kAsk;
  }
}

bool ConsoleTalk::message(const pgwire::Step& step, bool& ask) {
  if (step.tag == fe::kSync) {
    sync();
    return true;
  }
  if (skipping_) return true;
  switch (step.tag) {
    case fe::kQuery: return query(step.payload, ask);
    case fe::kParse: return parse(step.payload);
    case fe::kBind: return bind(step.payload);
    case fe::kDescribe: return describe(step.payload);
    case fe::kExecute: return execute(step.payload, ask);
    case fe::kClose: return close(step.payload);
    case fe::kFlush:
    case fe::kCopyData:
    case fe::kCopyDone:
    case fe::kCopyFail: return true;  // as a server that copies nothing would
    case fe::kFunctionCall:
      refuse(sqlstate::kFeatureNotSupported, "the console has no functions");
      skipping_ = false;  // no Sync follows
      ready();
      return true;
    default: error_ = "invalid frontend message type " + std::to_string(step.tag); return false;
  }
}

bool ConsoleTalk::query(std::string_view payload, bool& ask) {
  auto message = pgwire::decode_query(payload);
  if (!message) return false;
  portals_.clear();
  text_ = std::move(message->sql);
  answered_ = Answered::kQuery;
  ask = true;
  return true;
}

bool ConsoleTalk::parse(std::string_view payload) {
  auto message = pgwire::decode_parse(payload);
  if (!message) return false;
  if (const auto& wrong = describe_(message->sql).error) {
    refuse(*wrong);
  } else if (!message->statement.empty() && statements_.count(message->statement) != 0) {
    refuse("42P05", "prepared statement \"" + message->statement + "\" already exists");
  } else if (statements_.size() >= kMostNames) {
    refuse("53000", "there are too many prepared statements", "Close some of them.");
  } else {
    statements_[message->statement] = std::move(message->sql);
    pgwire::encode_empty(out_, be::kParseComplete);
  }
  return true;
}

bool ConsoleTalk::bind(std::string_view payload) {
  auto message = pgwire::decode_bind(payload);
  if (!message) return false;
  const auto statement = statements_.find(message->statement);
  if (statement == statements_.end()) {
    refuse("26000", "prepared statement \"" + message->statement + "\" does not exist");
  } else if (!message->parameters.empty()) {
    refuse(sqlstate::kProtocolViolation, "commands of the console take no parameters");
  } else if (!are_known(message->result_formats)) {
    refuse(sqlstate::kInvalidParameterValue, "a result is wanted in a format that there is not");
  } else if (portals_.size() >= kMostNames) {
    refuse("53000", "there are too many portals", "Close some of them.");
  } else {
    Portal& portal = portals_[message->portal] = {};
    portal.text = statement->second;
    portal.formats = std::move(message->result_formats);
    pgwire::encode_empty(out_, be::kBindComplete);
  }
  return true;
}

bool ConsoleTalk::describe(std::string_view payload) {
  const auto message = pgwire::decode_describe(payload);
  if (!message) return false;
  std::string text;
  std::vector<int16_t> formats;
  if (message->target == pgwire::Target::kStatement) {
    const auto found = statements_.find(message->name);
    if (found == statements_.end()) {
      refuse("26000", "prepared statement \"" + message->name + "\" does not exist");
      return true;
    }
    text = found->second;
    pgwire::Writer(out_).begin(be::kParameterDescription).u16(0).end();
  } else {
    const auto found = portals_.find(message->name);
    if (found == portals_.end()) {
      refuse("34000", "portal \"" + message->name + "\" does not exist");
      return true;
    }
    text = found->second.text;
    formats = found->second.formats;
  }
  const ConsoleAnswer answer = describe_(text);
  if (answer.error) {
    refuse(*answer.error);
  } else if (answer.columns.empty()) {
    pgwire::encode_empty(out_, be::kNoData);
  } else {
    encode_columns(out_, answer.columns, formats);
  }
  return true;
}

bool ConsoleTalk::execute(std::string_view payload, bool& ask) {
  const auto message = pgwire::decode_execute(payload);
  if (!message) return false;
  const auto found = portals_.find(message->portal);
  if (found == portals_.end()) {
    refuse("34000", "portal \"" + message->portal + "\" does not exist");
    return true;
  }
  portal_ = message->portal;
  max_rows_ = message->max_rows;
  if (found->second.ran) {
    tell(found->second);
    return true;
  }
  text_ = found->second.text;
  answered_ = Answered::kExecute;
  ask = true;
  return true;
}

bool ConsoleTalk::close(std::string_view payload) {
  const auto message = pgwire::decode_close(payload);
  if (!message) return false;
  if (message->target == pgwire::Target::kStatement) {
    statements_.erase(message->name);
  } else {
    portals_.erase(message->name);
  }
  pgwire::encode_empty(out_, be::kCloseComplete);
  return true;
}

// Portals live as long as their transaction.
void ConsoleTalk::sync() {
  skipping_ = false;
  if (status_ == pgwire::TxnStatus::kIdle) portals_.clear();
  ready();
}

void ConsoleTalk::ready() { pgwire::encode(out_, pgwire::ReadyForQuery{status_}); }

void ConsoleTalk::note_transaction(const std::string& tag) {
  if (tag == "BEGIN") status_ = pgwire::TxnStatus::kInTransaction;
  if (tag == "COMMIT" || tag == "ROLLBACK") status_ = pgwire::TxnStatus::kIdle;
}

void ConsoleTalk::answer(ConsoleAnswer answer) {
  note_transaction(answer.tag);
  if (answered_ == Answered::kQuery) {
    encode_answer(out_, answer);
    return ready();
  }
  if (answer.error) return refuse(*answer.error);
  encode_notice(out_, answer.notice);
  Portal& portal = portals_[portal_];
  portal.answer = std::move(answer);
  portal.ran = true;
  tell(portal);
}

void ConsoleTalk::tell(Portal& portal) {
  const size_t left = portal.answer.rows.size() - portal.told;
  const size_t now = max_rows_ == 0 ? left : std::min<size_t>(left, max_rows_);
  for (const size_t end = portal.told + now; portal.told < end; ++portal.told) {
    encode_row(out_, portal.answer, portal.told, portal.formats);
  }
  if (portal.told < portal.answer.rows.size()) return pgwire::encode_empty(out_, be::kPortalSuspended);
  encode_end(out_, portal.answer);
}

void ConsoleTalk::refuse(std::string_view sqlstate, const std::string& message, const std::string& detail) {
  pgwire::ErrorResponse error;
  error.sqlstate = sqlstate;
  error.message = message;
  error.detail = detail;
  refuse(error);
}

void ConsoleTalk::refuse(const pgwire::ErrorResponse& error) {
  pgwire::encode(out_, error);
  skipping_ = true;
}

}  // namespace pgb::proxy
