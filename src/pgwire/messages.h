// Messages as values. encode(out, message) appends it, framed. decode_x(payload) reads the payload of
// a framed message (tag and length already off) and gives kProtocol for anything truncated, overlong
// or contradictory; values are copies. Source: PostgreSQL documentation, "Message Formats".
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/secret.h"
#include "pgwire/types.h"

namespace pgb::pgwire {

// --- server to client -----------------------------------------------------------------------------

struct AuthenticationRequest {
  AuthCode code = AuthCode::kOk;
  std::string data;                     // MD5 salt (4 bytes); SASL continue/final, GSS continue data
  std::vector<std::string> mechanisms;  // kSasl only
};
struct BackendKeyData {
  uint32_t pid = 0;
  std::string key;  // 4 bytes in protocol 3.0, 4..256 later
};
struct ParameterStatus {
  std::string name;
  std::string value;
};
struct ReadyForQuery {
  TxnStatus status = TxnStatus::kIdle;
};
struct FieldDescription {
  std::string name;
  uint32_t table_oid = 0;
  int16_t column_number = 0;
  uint32_t type_oid = 25;  // text
  int16_t type_size = -1;
  int32_t type_modifier = -1;
  int16_t format = 0;
};
struct RowDescription {
  std::vector<FieldDescription> fields;
};
struct DataRow {
  std::vector<std::optional<std::string>> values;
};
struct CommandComplete {
  std::string tag;  // "SELECT 1"
};
struct NotificationResponse {
  uint32_t pid = 0;
  std::string channel;
  std::string payload;
};
struct NegotiateProtocolVersion {
  uint32_t newest = kProtocol30;  // protocol version
  std::vector<std::string> unknown_options;
};
// CopyInResponse, CopyOutResponse, CopyBothResponse
struct CopyResponse {
  char tag = be::kCopyInResponse;
  uint8_t format = 0;
  std::vector<int16_t> column_formats;
};

void encode(std::string& out, const AuthenticationRequest& message);
void encode(std::string& out, const BackendKeyData& message);
void encode(std::string& out, const ParameterStatus& message);
void encode(std::string& out, const ReadyForQuery& message);
void encode(std::string& out, const RowDescription& message);
void encode(std::string& out, const DataRow& message);
void encode(std::string& out, const CommandComplete& message);
void encode(std::string& out, const NotificationResponse& message);
void encode(std::string& out, const NegotiateProtocolVersion& message);
void encode(std::string& out, const CopyResponse& message);

Result<AuthenticationRequest> decode_authentication(std::string_view payload);
Result<BackendKeyData> decode_backend_key_data(std::string_view payload);
Result<ParameterStatus> decode_parameter_status(std::string_view payload);
Result<ReadyForQuery> decode_ready_for_query(std::string_view payload);
Result<RowDescription> decode_row_description(std::string_view payload);
Result<DataRow> decode_data_row(std::string_view payload);
Result<CommandComplete> decode_command_complete(std::string_view payload);
Result<NotificationResponse> decode_notification(std::string_view payload);
Result<NegotiateProtocolVersion> decode_negotiate_protocol_version(std::string_view payload);
Result<CopyResponse> decode_copy_response(char tag, std::string_view payload);

// --- client to server -----------------------------------------------------------------------------

struct PasswordMessage {
  Secret password;  // cleartext, or the md5 digest
};
struct SaslInitialResponse {
  std::string mechanism;
  std::optional<std::string> data;
};
struct SaslResponse {
  std::string data;
};
struct Query {
  std::string sql;
};
struct Parse {
  std::string statement;
  std::string sql;
  std::vector<uint32_t> parameter_types;
};
struct Bind {
  std::string portal;
  std::string statement;
  std::vector<int16_t> parameter_formats;
  std::vector<std::optional<std::string>> parameters;
  std::vector<int16_t> result_formats;
};
enum class Target : char { kStatement = 'S', kPortal = 'P' };
struct Describe {
  Target target = Target::kStatement;
  std::string name;
};
struct Execute {
  std::string portal;
  uint32_t max_rows = 0;  // 0 is no limit
};
struct Close {
  Target target = Target::kStatement;
  std::string name;
};
struct CopyData {
  std::string data;
};
struct CopyFail {
  std::string reason;
};

void encode(std::string& out, const PasswordMessage& message);
void encode(std::string& out, const SaslInitialResponse& message);
void encode(std::string& out, const SaslResponse& message);
void encode(std::string& out, const Query& message);
void encode(std::string& out, const Parse& message);
void encode(std::string& out, const Bind& message);
void encode(std::string& out, const Describe& message);
void encode(std::string& out, const Execute& message);
void encode(std::string& out, const Close& message);
void encode(std::string& out, const CopyData& message);
void encode(std::string& out, const CopyFail& message);

Result<PasswordMessage> decode_password(std::string_view payload);
Result<SaslInitialResponse> decode_sasl_initial_response(std::string_view payload);
Result<SaslResponse> decode_sasl_response(std::string_view payload);
Result<Query> decode_query(std::string_view payload);
Result<Parse> decode_parse(std::string_view payload);
Result<Bind> decode_bind(std::string_view payload);
Result<Describe> decode_describe(std::string_view payload);
Result<Execute> decode_execute(std::string_view payload);
Result<Close> decode_close(std::string_view payload);
Result<CopyData> decode_copy_data(std::string_view payload);
Result<CopyFail> decode_copy_fail(std::string_view payload);

// Messages without a payload: Sync, Flush, Terminate, CopyDone, ParseComplete, NoData …
void encode_empty(std::string& out, char tag);

}  // namespace pgb::pgwire
