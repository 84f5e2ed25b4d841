#include "pgclient/connection.h"

#include <algorithm>
#include <utility>

#include "pgclient/socket.h"
#include "pgwire/auth_client.h"
#include "pgwire/error_response.h"
#include "pgwire/framer.h"
#include "pgwire/messages.h"
#include "pgwire/startup.h"

namespace pgb::pgclient {
namespace {

namespace be = pgwire::be;
using pgwire::Step;

Error to_error(const pgwire::ErrorResponse& response) {
  bool login = response.sqlstate.substr(0, 2) == "28";
  Error error(login ? Code::kAuth : Code::kSql, pgwire::describe(response));
  error.with("sqlstate", response.sqlstate);
  if (!response.detail.empty()) error.with("detail", response.detail);
  if (!response.hint.empty()) error.with("hint", response.hint);
  return error;
}

bool is_directory(const std::string& host) { return !host.empty() && host[0] == '/'; }

struct Message {
  char tag = 0;
  std::string payload;
};

class WireConnection : public Connection {
 public:
  explicit WireConnection(Socket socket) : socket_(std::move(socket)) {}
  ~WireConnection() override { say_goodbye(); }

  Status login(const ConnInfo& info, Deadline deadline);
  Result<std::vector<ResultSet>> query(const std::string& sql, Deadline deadline) override;
  int fd() const override { return socket_.fd(); }
  const std::map<std::string, std::string>& parameters() const override { return parameters_; }

 private:
  struct Answer {
    std::vector<ResultSet> results;
    ResultSet current;
    std::optional<Error> error;
    bool ready = false;
  };

  Result<Message> receive(Deadline deadline);
  Status receive_answer(Answer& answer, Deadline deadline);
  Status take(Answer& answer, const Message& message, Deadline deadline);
  Status take_row(ResultSet& current, const Message& message);
  Status encrypt(const ConnInfo& info, Deadline deadline);
  Status authenticate(const ConnInfo& info, Deadline deadline);
  Status refuse_copy(char tag, Deadline deadline);
  bool take_aside(const Message& message);
  void say_goodbye();

  Socket socket_;
  pgwire::Framer framer_;
  std::map<std::string, std::string> parameters_;
  std::optional<Error> dead_;
};

// Terminate, so that the server does not log a lost connection; never waits.
void WireConnection::say_goodbye() {
  if (dead_) return;
  std::string bytes;
  pgwire::encode_empty(bytes, pgwire::fe::kTerminate);
  (void)socket_.send(bytes, Deadline::after(std::chrono::milliseconds(0))).ok();
}

// What a server may send at any time.
bool WireConnection::take_aside(const Message& message) {
  if (message.tag == be::kNoticeResponse || message.tag == be::kNotificationResponse) return true;
  if (message.tag != be::kParameterStatus) return false;
  if (auto status = pgwire::decode_parameter_status(message.payload)) {
    parameters_.insert_or_assign(status->name, status->value);
  }
  return true;
}

Result<Message> WireConnection::receive(Deadline deadline) {
  for (;;) {
    Step step = framer_.next();
    if (step.kind == Step::Kind::kBad) {
      return Error(Code::kProtocol, socket_.peer() + " does not speak the PostgreSQL protocol: " + framer_.error());
    }
    if (step.kind == Step::Kind::kMessage) {
      Message message;
      message.tag = step.tag;
      message.payload = step.payload;
      if (!take_aside(message)) return message;
      continue;
    }
    auto bytes = socket_.receive(deadline);
    if (!bytes) return std::move(bytes).error();
    framer_.feed(*bytes);
  }
}

Status WireConnection::authenticate(const ConnInfo& info, Deadline deadline) {
  pgwire::AuthClient::Options options;
  options.allow_cleartext = is_directory(info.host);
  options.end_point = socket_.end_point();
  pgwire::AuthClient auth(info.user, info.password, options);
  for (;;) {
    auto message = receive(deadline);
    if (!message) return std::move(message).error();
    if (message->tag == be::kNegotiateProtocolVersion) continue;
    if (message->tag == be::kErrorResponse) {
      auto response = pgwire::decode_error(message->payload);
      return response ? to_error(*response) : std::move(response).error();
    }
    if (message->tag != be::kAuthentication) {
      return Error(Code::kProtocol, socket_.peer() + " sent an unexpected message during the login");
    }
    auto step = auth.feed(message->payload);
    if (!step) return std::move(step).error();
    PGB_TRY(socket_.send(step->send, deadline));
    if (step->done) return Status();
  }
}

// Asks for TLS. The answer is one byte, and is read alone: what is behind it must be encrypted.
Status WireConnection::encrypt(const ConnInfo& info, Deadline deadline) {
  if (!info.tls.context || is_directory(info.host)) return Status();
  std::string bytes;
  encode(bytes, pgwire::SslRequest{});
  PGB_TRY(socket_.send(bytes, deadline));
  auto answer = socket_.receive(deadline, 1);
  if (!answer) return std::move(answer).error();
  if (*answer == "S") {
    return socket_.start_tls(*info.tls.context, info.tls_host.empty() ? info.host : info.tls_host, deadline);
  }
  if (*answer != "N") return Error(Code::kProtocol, socket_.peer() + " does not understand the request for TLS");
  if (!info.tls.required) return Status();
  return Error(Code::kUnreachable, socket_.peer() + " offers no TLS, and it is required")
      .with("try", "set ssl = on at the server");
}

Status WireConnection::login(const ConnInfo& info, Deadline deadline) {
  PGB_TRY(encrypt(info, deadline));
  pgwire::StartupMessage startup;
  startup.params["user"] = info.user;
  if (!info.database.empty()) startup.params["database"] = info.database;
  if (!info.application_name.empty()) startup.params["application_name"] = info.application_name;
  startup.params["client_encoding"] = "UTF8";
  if (!info.options.empty()) startup.params["options"] = info.options;
  if (info.replication) startup.params["replication"] = info.database.empty() ? "true" : "database";
  std::string bytes;
  encode(bytes, startup);
  PGB_TRY(socket_.send(bytes, deadline));
  framer_.set_max_body(pgwire::kMaxAuthBody);
  PGB_TRY(authenticate(info, deadline));
  framer_.set_max_body(pgwire::kMaxBody);
  Answer answer;
  PGB_TRY(receive_answer(answer, deadline));
  if (answer.error) return *std::move(answer.error);
  return Status();
}

Status WireConnection::take_row(ResultSet& current, const Message& message) {
  auto row = pgwire::decode_data_row(message.payload);
  if (!row) return std::move(row).error();
  if (row->values.size() != current.columns.size()) {
    return Error(Code::kProtocol, socket_.peer() + " sent a row that does not match its description");
  }
  current.rows.push_back(std::move(row->values));
  return Status();
}

// COPY has no place in this interface: the statement fails and the connection goes on.
Status WireConnection::refuse_copy(char tag, Deadline deadline) {
  if (tag == be::kCopyBothResponse) {
    return Error(Code::kProtocol, socket_.peer() + " began to stream; this connection cannot take that");
  }
  std::string bytes;
  encode(bytes, pgwire::CopyFail{"COPY FROM STDIN is not supported here"});
  return socket_.send(bytes, deadline);
}

Status WireConnection::take(Answer& answer, const Message& message, Deadline deadline) {
  switch (message.tag) {
    case be::kRowDescription: {
      auto description = pgwire::decode_row_description(message.payload);
      if (!description) return std::move(description).error();
      answer.current = ResultSet();
      for (auto& field : description->fields) answer.current.columns.push_back(std::move(field.name));
      return Status();
    }
    case be::kDataRow: return take_row(answer.current, message);
    case be::kCommandComplete: {
      auto complete = pgwire::decode_command_complete(message.payload);
      if (!complete) return std::move(complete).error();
      answer.current.command_tag = std::move(complete->tag);
      answer.results.push_back(std::exchange(answer.current, ResultSet()));
      return Status();
    }
    case be::kErrorResponse: {
      auto response = pgwire::decode_error(message.payload);
      if (!response) return std::move(response).error();
      if (!answer.error) answer.error = to_error(*response);
      return Status();
    }
    case be::kReadyForQuery: answer.ready = true; return Status();
    case be::kCopyInResponse:
    case be::kCopyBothResponse: return refuse_copy(message.tag, deadline);
    case be::kCopyOutResponse:
      answer.error = Error(Code::kUsage, "COPY TO STDOUT is not supported here");
      return Status();
    case be::kBackendKeyData:
    case be::kEmptyQueryResponse:
    case be::kCopyData:
    case be::kCopyDone: return Status();
    default: return Error(Code::kProtocol, socket_.peer() + " sent a message that does not belong to a simple query");
  }
}

// Everything up to ReadyForQuery. An error status means that the connection is dead.
Status WireConnection::receive_answer(Answer& answer, Deadline deadline) {
  while (!answer.ready) {
    auto message = receive(deadline);
    if (!message) {
      // A server that ends our session says why before it hangs up.
      if (message.error().code == Code::kIo && answer.error) return *std::move(answer.error);
      return std::move(message).error();
    }
    PGB_TRY(take(answer, *message, deadline));
  }
  return Status();
}

Result<std::vector<ResultSet>> WireConnection::query(const std::string& sql, Deadline deadline) {
  if (dead_) return *dead_;
  if (sql.find('\0') != std::string::npos) return Error(Code::kUsage, "an SQL text must not contain a zero byte");
  std::string bytes;
  encode(bytes, pgwire::Query{sql});
  Answer answer;
  Status status = socket_.send(bytes, deadline);
  // When sending fails, the reason may be waiting to be read.
  if (status.ok() || status.error().code == Code::kIo) {
    Status received = receive_answer(answer, deadline);
    if (status.ok() || (!received.ok() && received.error().code == Code::kSql)) status = std::move(received);
  }
  if (!status.ok()) {
    dead_ = Error(Code::kIo, "this connection to " + socket_.peer() + " was lost before")
                .with("because", status.error().message);
    return std::move(status).error();
  }
  if (answer.error) {
    // A class 28 error of a statement is no failed login.
    if (answer.error->code == Code::kAuth) answer.error->code = Code::kSql;
    return *std::move(answer.error);
  }
  return std::move(answer.results);
}

}  // namespace

Result<std::unique_ptr<Connection>> Connection::open(const ConnInfo& info, Deadline deadline) {
  auto socket = Socket::connect(info.host, info.port, deadline);
  if (!socket) return std::move(socket).error();
  auto connection = std::make_unique<WireConnection>(std::move(*socket));
  Status status = connection->login(info, deadline);
  if (status.ok()) return std::unique_ptr<Connection>(std::move(connection));
  // A server that hangs up during the login is not there for us.
  if (status.error().code == Code::kIo) status.error().code = Code::kUnreachable;
  return std::move(status).error();
}

std::string ResultSet::get(size_t row, std::string_view column) const {
  auto found = std::find(columns.begin(), columns.end(), column);
  auto index = static_cast<size_t>(found - columns.begin());
  if (row >= rows.size() || index >= rows[row].size()) return std::string();
  return rows[row][index].value_or(std::string());
}

std::string quote_literal(std::string_view text) {
  // E'' means the same whatever standard_conforming_strings says.
  bool escape = text.find('\\') != std::string_view::npos;
  std::string quoted = escape ? "E'" : "'";
  for (char c : text) {
    if (c == '\'' || c == '\\') quoted.push_back(c);
    quoted.push_back(c);
  }
  return quoted + "'";
}

std::string quote_identifier(std::string_view name) {
  std::string quoted = "\"";
  for (char c : name) {
    if (c == '"') quoted.push_back(c);
    quoted.push_back(c);
  }
  return quoted + "\"";
}

}  // namespace pgb::pgclient
