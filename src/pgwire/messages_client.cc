// The messages that clients send.
#include "pgwire/malformed.h"
#include "pgwire/messages.h"
#include "pgwire/writer.h"

namespace pgb::pgwire {
namespace {

Target read_target(Reader& reader) {
  char target = static_cast<char>(reader.u8());
  if (target != 'S' && target != 'P') reader.fail();
  return static_cast<Target>(target);
}

void write_formats(Writer& writer, const std::vector<int16_t>& formats) {
  writer.u16(static_cast<uint16_t>(formats.size()));
  for (int16_t format : formats) writer.i16(format);
}

std::vector<int16_t> read_formats(Reader& reader) {
  std::vector<int16_t> formats;
  for (unsigned left = reader.u16(); left > 0 && !reader.failed(); --left) formats.push_back(reader.i16());
  return formats;
}

}  // namespace

void encode(std::string& out, const PasswordMessage& message) {
  Writer writer(out);
  writer.begin(fe::kPassword).cstring(message.password.reveal()).end();
}

Result<PasswordMessage> decode_password(std::string_view payload) {
  Reader reader(payload);
  PasswordMessage message;
  message.password = Secret(std::string(reader.cstring()));
  return finish(reader, std::move(message), "Password");
}

void encode(std::string& out, const SaslInitialResponse& message) {
  Writer writer(out);
  writer.begin(fe::kPassword).cstring(message.mechanism);
  if (message.data) {
    writer.u32(static_cast<uint32_t>(message.data->size())).bytes(*message.data);
  } else {
    writer.i32(-1);
  }
  writer.end();
}

Result<SaslInitialResponse> decode_sasl_initial_response(std::string_view payload) {
  Reader reader(payload);
  SaslInitialResponse message;
  message.mechanism = reader.cstring();
  int32_t size = reader.i32();
  if (size < -1) reader.fail();
  if (size >= 0) message.data = std::string(reader.bytes(static_cast<size_t>(size)));
  return finish(reader, std::move(message), "SASLInitialResponse");
}

void encode(std::string& out, const SaslResponse& message) {
  Writer writer(out);
  writer.begin(fe::kPassword).bytes(message.data).end();
}

Result<SaslResponse> decode_sasl_response(std::string_view payload) {
  SaslResponse message;
  message.data = payload;
  return message;
}

void encode(std::string& out, const Query& message) {
  Writer writer(out);
  writer.begin(fe::kQuery).cstring(message.sql).end();
}

Result<Query> decode_query(std::string_view payload) {
  Reader reader(payload);
  Query message;
  message.sql = reader.cstring();
  return finish(reader, std::move(message), "Query");
}

void encode(std::string& out, const Parse& message) {
  Writer writer(out);
  writer.begin(fe::kParse).cstring(message.statement).cstring(message.sql);
  writer.u16(static_cast<uint16_t>(message.parameter_types.size()));
  for (uint32_t type : message.parameter_types) writer.u32(type);
  writer.end();
}

Result<Parse> decode_parse(std::string_view payload) {
  Reader reader(payload);
  Parse message;
  message.statement = reader.cstring();
  message.sql = reader.cstring();
  for (unsigned left = reader.u16(); left > 0 && !reader.failed(); --left) {
    message.parameter_types.push_back(reader.u32());
  }
  return finish(reader, std::move(message), "Parse");
}

void encode(std::string& out, const Bind& message) {
  Writer writer(out);
  writer.begin(fe::kBind).cstring(message.portal).cstring(message.statement);
  write_formats(writer, message.parameter_formats);
  writer.u16(static_cast<uint16_t>(message.parameters.size()));
  for (const auto& value : message.parameters) {
    if (value) {
      writer.u32(static_cast<uint32_t>(value->size())).bytes(*value);
    } else {
      writer.i32(-1);
    }
  }
  write_formats(writer, message.result_formats);
  writer.end();
}

Result<Bind> decode_bind(std::string_view payload) {
  Reader reader(payload);
  Bind message;
  message.portal = reader.cstring();
  message.statement = reader.cstring();
  message.parameter_formats = read_formats(reader);
  for (unsigned left = reader.u16(); left > 0 && !reader.failed(); --left) {
    int32_t size = reader.i32();
    if (size == -1) {
      message.parameters.emplace_back();
    } else if (size < 0) {
      reader.fail();
    } else {
      message.parameters.emplace_back(std::string(reader.bytes(static_cast<size_t>(size))));
    }
  }
  message.result_formats = read_formats(reader);
  return finish(reader, std::move(message), "Bind");
}

void encode(std::string& out, const Describe& message) {
  Writer writer(out);
  writer.begin(fe::kDescribe).u8(static_cast<uint8_t>(message.target)).cstring(message.name).end();
}

Result<Describe> decode_describe(std::string_view payload) {
  Reader reader(payload);
  Describe message;
  message.target = read_target(reader);
  message.name = reader.cstring();
  return finish(reader, std::move(message), "Describe");
}

void encode(std::string& out, const Execute& message) {
  Writer writer(out);
  writer.begin(fe::kExecute).cstring(message.portal).u32(message.max_rows).end();
}

Result<Execute> decode_execute(std::string_view payload) {
  Reader reader(payload);
  Execute message;
  message.portal = reader.cstring();
  message.max_rows = reader.u32();
  return finish(reader, std::move(message), "Execute");
}

void encode(std::string& out, const Close& message) {
  Writer writer(out);
  writer.begin(fe::kClose).u8(static_cast<uint8_t>(message.target)).cstring(message.name).end();
}

Result<Close> decode_close(std::string_view payload) {
  Reader reader(payload);
  Close message;
  message.target = read_target(reader);
  message.name = reader.cstring();
  return finish(reader, std::move(message), "Close");
}

void encode(std::string& out, const CopyData& message) {
  Writer writer(out);
  writer.begin(fe::kCopyData).bytes(message.data).end();
}

Result<CopyData> decode_copy_data(std::string_view payload) {
  CopyData message;
  message.data = payload;
  return message;
}

void encode(std::string& out, const CopyFail& message) {
  Writer writer(out);
  writer.begin(fe::kCopyFail).cstring(message.reason).end();
}

Result<CopyFail> decode_copy_fail(std::string_view payload) {
  Reader reader(payload);
  CopyFail message;
  message.reason = reader.cstring();
  return finish(reader, std::move(message), "CopyFail");
}

void encode_empty(std::string& out, char tag) {
  Writer writer(out);
  writer.begin(tag).end();
}

}  // namespace pgb::pgwire
