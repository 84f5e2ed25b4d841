#include "pgwire/error_response.h"

#include "pgwire/malformed.h"
#include "pgwire/types.h"
#include "pgwire/writer.h"

namespace pgb::pgwire {
namespace {

void encode_as(std::string& out, char tag, const ErrorResponse& error) {
  Writer writer(out);
  auto field = [&writer](char code, std::string_view text) { writer.u8(static_cast<uint8_t>(code)).cstring(text); };
  writer.begin(tag);
  field('S', error.severity);
  field('V', error.severity);
  field('C', error.sqlstate);
  field('M', error.message);
  if (!error.detail.empty()) field('D', error.detail);
  if (!error.hint.empty()) field('H', error.hint);
  for (const auto& [code, text] : error.others) field(code, text);
  writer.u8(0);
  writer.end();
}

void store(ErrorResponse& error, char code, std::string text, bool& have_plain_severity) {
  switch (code) {
    case 'S':  // localised; V, which comes after it, is not
      if (!have_plain_severity) error.severity = std::move(text);
      break;
    case 'V':
      error.severity = std::move(text);
      have_plain_severity = true;
      break;
    case 'C': error.sqlstate = std::move(text); break;
    case 'M': error.message = std::move(text); break;
    case 'D': error.detail = std::move(text); break;
    case 'H': error.hint = std::move(text); break;
    default: error.others.emplace_back(code, std::move(text));
  }
}

}  // namespace

void encode(std::string& out, const ErrorResponse& error) { encode_as(out, be::kErrorResponse, error); }
void encode_notice(std::string& out, const ErrorResponse& notice) { encode_as(out, be::kNoticeResponse, notice); }

Result<ErrorResponse> decode_error(std::string_view payload) {
  Reader reader(payload);
  ErrorResponse error;
  bool have_plain_severity = false;
  bool have_message = false;
  for (auto code = static_cast<char>(reader.u8()); code != 0; code = static_cast<char>(reader.u8())) {
    have_message = have_message || code == 'M';
    store(error, code, std::string(reader.cstring()), have_plain_severity);
  }
  if (!have_message) reader.fail();
  return finish(reader, std::move(error), "ErrorResponse or NoticeResponse");
}

std::string describe(const ErrorResponse& error) {
  return error.severity + " " + error.sqlstate + ": " + error.message;
}

}  // namespace pgb::pgwire
