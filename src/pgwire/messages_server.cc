// The messages that servers send.
#include "pgwire/malformed.h"
#include "pgwire/messages.h"
#include "pgwire/writer.h"

namespace pgb::pgwire {

void encode(std::string& out, const AuthenticationRequest& message) {
  Writer writer(out);
  writer.begin(be::kAuthentication).u32(static_cast<uint32_t>(message.code));
  if (message.code == AuthCode::kSasl) {
    for (const auto& mechanism : message.mechanisms) writer.cstring(mechanism);
    writer.u8(0);
  } else {
    writer.bytes(message.data);
  }
  writer.end();
}

Result<AuthenticationRequest> decode_authentication(std::string_view payload) {
  Reader reader(payload);
  AuthenticationRequest message;
  message.code = static_cast<AuthCode>(reader.u32());
  if (message.code == AuthCode::kSasl) {
    for (auto name = reader.cstring(); !name.empty(); name = reader.cstring()) message.mechanisms.emplace_back(name);
  } else {
    message.data = reader.rest();
  }
  bool bare = message.code == AuthCode::kOk || message.code == AuthCode::kCleartextPassword;
  if (bare && !message.data.empty()) reader.fail();
  if (message.code == AuthCode::kMd5Password && message.data.size() != 4) reader.fail();
  return finish(reader, std::move(message), "Authentication");
}

void encode(std::string& out, const BackendKeyData& message) {
  Writer writer(out);
  writer.begin(be::kBackendKeyData).u32(message.pid).bytes(message.key).end();
}

Result<BackendKeyData> decode_backend_key_data(std::string_view payload) {
  Reader reader(payload);
  BackendKeyData message;
  message.pid = reader.u32();
  message.key = reader.rest();
  if (message.key.size() < 4 || message.key.size() > 256) reader.fail();
  return finish(reader, std::move(message), "BackendKeyData");
}

void encode(std::string& out, const ParameterStatus& message) {
  Writer writer(out);
  writer.begin(be::kParameterStatus).cstring(message.name).cstring(message.value).end();
}

Result<ParameterStatus> decode_parameter_status(std::string_view payload) {
  Reader reader(payload);
  ParameterStatus message;
  message.name = reader.cstring();
  message.value = reader.cstring();
  return finish(reader, std::move(message), "ParameterStatus");
}

void encode(std::string& out, const ReadyForQuery& message) {
  Writer writer(out);
  writer.begin(be::kReadyForQuery).u8(static_cast<uint8_t>(message.status)).end();
}

Result<ReadyForQuery> decode_ready_for_query(std::string_view payload) {
  Reader reader(payload);
  ReadyForQuery message;
  char status = static_cast<char>(reader.u8());
  if (status != 'I' && status != 'T' && status != 'E') reader.fail();
  message.status = static_cast<TxnStatus>(status);
  return finish(reader, message, "ReadyForQuery");
}

void encode(std::string& out, const RowDescription& message) {
  Writer writer(out);
  writer.begin(be::kRowDescription).u16(static_cast<uint16_t>(message.fields.size()));
  for (const auto& field : message.fields) {
    writer.cstring(field.name).u32(field.table_oid).i16(field.column_number).u32(field.type_oid);
    writer.i16(field.type_size).i32(field.type_modifier).i16(field.format);
  }
  writer.end();
}

Result<RowDescription> decode_row_description(std::string_view payload) {
  Reader reader(payload);
  RowDescription message;
  for (unsigned left = reader.u16(); left > 0 && !reader.failed(); --left) {
    FieldDescription field;
    field.name = reader.cstring();
    field.table_oid = reader.u32();
    field.column_number = reader.i16();
    field.type_oid = reader.u32();
    field.type_size = reader.i16();
    field.type_modifier = reader.i32();
    field.format = reader.i16();
    message.fields.push_back(std::move(field));
  }
  return finish(reader, std::move(message), "RowDescription");
}

void encode(std::string& out, const DataRow& message) {
  Writer writer(out);
  writer.begin(be::kDataRow).u16(static_cast<uint16_t>(message.values.size()));
  for (const auto& value : message.values) {
    if (value) {
      writer.u32(static_cast<uint32_t>(value->size())).bytes(*value);
    } else {
      writer.i32(-1);
    }
  }
  writer.end();
}

Result<DataRow> decode_data_row(std::string_view payload) {
  Reader reader(payload);
  DataRow message;
  for (unsigned left = reader.u16(); left > 0 && !reader.failed(); --left) {
    int32_t size = reader.i32();
    if (size == -1) {
      message.values.emplace_back();
    } else if (size < 0) {
      reader.fail();
    } else {
      message.values.emplace_back(std::string(reader.bytes(static_cast<size_t>(size))));
    }
  }
  return finish(reader, std::move(message), "DataRow");
}

void encode(std::string& out, const CommandComplete& message) {
  Writer writer(out);
  writer.begin(be::kCommandComplete).cstring(message.tag).end();
}

Result<CommandComplete> decode_command_complete(std::string_view payload) {
  Reader reader(payload);
  CommandComplete message;
  message.tag = reader.cstring();
  return finish(reader, std::move(message), "CommandComplete");
}

void encode(std::string& out, const NotificationResponse& message) {
  Writer writer(out);
  writer.begin(be::kNotificationResponse).u32(message.pid).cstring(message.channel).cstring(message.payload).end();
}

Result<NotificationResponse> decode_notification(std::string_view payload) {
  Reader reader(payload);
  NotificationResponse message;
  message.pid = reader.u32();
  message.channel = reader.cstring();
  message.payload = reader.cstring();
  return finish(reader, std::move(message), "NotificationResponse");
}

void encode(std::string& out, const NegotiateProtocolVersion& message) {
  Writer writer(out);
  writer.begin(be::kNegotiateProtocolVersion).u32(message.newest);
  writer.u32(static_cast<uint32_t>(message.unknown_options.size()));
  for (const auto& option : message.unknown_options) writer.cstring(option);
  writer.end();
}

Result<NegotiateProtocolVersion> decode_negotiate_protocol_version(std::string_view payload) {
  Reader reader(payload);
  NegotiateProtocolVersion message;
  message.newest = reader.u32();
  for (uint32_t left = reader.u32(); left > 0 && !reader.failed(); --left) {
    message.unknown_options.emplace_back(reader.cstring());
  }
  return finish(reader, std::move(message), "NegotiateProtocolVersion");
}

void encode(std::string& out, const CopyResponse& message) {
  Writer writer(out);
  writer.begin(message.tag).u8(message.format).u16(static_cast<uint16_t>(message.column_formats.size()));
  for (int16_t format : message.column_formats) writer.i16(format);
  writer.end();
}

Result<CopyResponse> decode_copy_response(char tag, std::string_view payload) {
  Reader reader(payload);
  CopyResponse message;
  message.tag = tag;
  message.format = reader.u8();
  for (unsigned left = reader.u16(); left > 0 && !reader.failed(); --left) {
    message.column_formats.push_back(reader.i16());
  }
  return finish(reader, std::move(message), "CopyResponse");
}

}  // namespace pgb::pgwire
