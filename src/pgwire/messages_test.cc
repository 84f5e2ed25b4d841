#include "pgwire/messages.h"

#include <gtest/gtest.h>

#include "pgwire/error_response.h"
#include "pgwire/startup.h"

namespace pgb::pgwire {
namespace {

template <class T>
std::string payload_of(const T& message) {
  std::string bytes;
  encode(bytes, message);
  return bytes.substr(kHeaderSize);
}

// The encoding decodes and encodes to the same bytes; no shorter or longer payload is accepted.
template <class T, class Decode>
void expect_strict(const T& message, Decode decode) {
  std::string payload = payload_of(message);
  auto whole = decode(payload);
  ASSERT_TRUE(whole.ok());
  EXPECT_EQ(payload_of(*whole), payload);
  for (size_t size = 0; size < payload.size(); ++size) {
    auto cut = decode(std::string_view(payload).substr(0, size));
    ASSERT_FALSE(cut.ok()) << size << " of " << payload.size();
    EXPECT_EQ(cut.error().code, Code::kProtocol);
  }
  EXPECT_FALSE(decode(payload + "x").ok());
}

TEST(Messages, LengthCountsItselfAndThePayload) {
  std::string bytes;
  encode(bytes, Query{"hi"});
  EXPECT_EQ(bytes, std::string("Q\0\0\0\7hi\0", 8));
}

TEST(Messages, ServerMessagesRoundTripAndRefuseTruncation) {
  AuthenticationRequest sasl;
  sasl.code = AuthCode::kSasl;
  sasl.mechanisms = {"SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"};
  expect_strict(sasl, decode_authentication);
  AuthenticationRequest md5;
  md5.code = AuthCode::kMd5Password;
  md5.data = "salt";
  expect_strict(md5, decode_authentication);
  expect_strict(AuthenticationRequest{}, decode_authentication);
  expect_strict(ParameterStatus{"TimeZone", "UTC"}, decode_parameter_status);
  expect_strict(ReadyForQuery{TxnStatus::kFailed}, decode_ready_for_query);
  FieldDescription field;
  field.name = "id";
  field.type_oid = 23;
  expect_strict(RowDescription{{field, field}}, decode_row_description);
  expect_strict(DataRow{{std::string("a"), std::nullopt, std::string()}}, decode_data_row);
  expect_strict(CommandComplete{"SELECT 1"}, decode_command_complete);
  expect_strict(NotificationResponse{7, "channel", "text"}, decode_notification);
  expect_strict(NegotiateProtocolVersion{0, {"_pq_.a", "_pq_.b"}}, decode_negotiate_protocol_version);
  expect_strict(CopyResponse{be::kCopyOutResponse, 1, {1, 0}},
                [](std::string_view payload) { return decode_copy_response(be::kCopyOutResponse, payload); });
}

TEST(Messages, ClientMessagesRoundTripAndRefuseTruncation) {
  expect_strict(PasswordMessage{Secret("pw")}, decode_password);
  expect_strict(SaslInitialResponse{"SCRAM-SHA-256", "n,,n=,r=abc"}, decode_sasl_initial_response);
  expect_strict(SaslInitialResponse{"SCRAM-SHA-256", std::nullopt}, decode_sasl_initial_response);
  expect_strict(Query{"SELECT 1"}, decode_query);
  expect_strict(Parse{"s1", "SELECT $1", {23, 25}}, decode_parse);
  expect_strict(Bind{"p", "s1", {0, 1}, {std::string("x"), std::nullopt}, {1}}, decode_bind);
  expect_strict(Describe{Target::kPortal, "p"}, decode_describe);
  expect_strict(Execute{"p", 10}, decode_execute);
  expect_strict(Close{Target::kStatement, "s1"}, decode_close);
  expect_strict(CopyFail{"no"}, decode_copy_fail);
  EXPECT_EQ(decode_copy_data("a\n")->data, "a\n");
  EXPECT_EQ(decode_sasl_response("c=")->data, "c=");
}

TEST(Messages, BackendKeysOfFourToTwoHundredFiftySixBytes) {
  auto key = [](size_t size) { return decode_backend_key_data(std::string(4 + size, 'k')).ok(); };
  EXPECT_FALSE(key(3));
  EXPECT_TRUE(key(4));
  EXPECT_TRUE(key(256));
  EXPECT_FALSE(key(257));
}

TEST(Messages, RefuseNonsenseThatIsLongEnough) {
  EXPECT_FALSE(decode_ready_for_query("X").ok());
  EXPECT_FALSE(decode_describe(std::string("Qx\0", 3)).ok());
  EXPECT_FALSE(decode_data_row(std::string("\0\1\xff\xff\xff\xfe", 6)).ok());  // length -2
  EXPECT_FALSE(decode_data_row(std::string("\0\1\x7f\xff\xff\xff", 6)).ok());  // 2 GB
  EXPECT_FALSE(decode_negotiate_protocol_version(std::string("\0\0\0\0\xff\xff\xff\xff", 8)).ok());
}

TEST(Messages, AZeroByteInATextCannotForgeAField) {
  ParameterStatus status{std::string("a\0b", 3), "v"};
  auto decoded = decode_parameter_status(payload_of(status));
  ASSERT_TRUE(decoded.ok());
  EXPECT_EQ(decoded->name, "a");
  EXPECT_EQ(decoded->value, "v");
}

TEST(ErrorResponse, CarriesEveryFieldBothWays) {
  ErrorResponse error;
  error.severity = "FATAL";
  error.sqlstate = sqlstate::kInvalidPassword;
  error.message = "no";
  error.detail = "really";
  error.hint = "ask";
  error.others = {{'R', "auth_failed"}};
  auto payload = payload_of(error);
  auto decoded = decode_error(payload);
  ASSERT_TRUE(decoded.ok());
  EXPECT_TRUE(decoded->fatal());
  EXPECT_EQ(describe(*decoded), "FATAL 28P01: no");
  EXPECT_EQ(decoded->detail, "really");
  EXPECT_EQ(decoded->hint, "ask");
  EXPECT_EQ(decoded->others, error.others);
  expect_strict(error, decode_error);
}

TEST(ErrorResponse, PrefersTheSeverityThatIsNotTranslated) {
  auto decoded = decode_error(std::string("SFEHLER\0VERROR\0C42601\0Mx\0\0", 26));
  ASSERT_TRUE(decoded.ok());
  EXPECT_EQ(decoded->severity, "ERROR");
}

template <class T>
FirstPacketRead first(const T& message) {
  std::string bytes;
  encode(bytes, message);
  for (size_t size = 0; size < bytes.size(); ++size) {
    auto cut = decode_first_packet(std::string_view(bytes).substr(0, size));
    EXPECT_TRUE(cut.ok() && !cut->has_value()) << size;
  }
  auto whole = decode_first_packet(bytes + "next");
  EXPECT_TRUE(whole.ok() && whole->has_value());
  EXPECT_EQ((*whole)->size, bytes.size());
  return **whole;
}

TEST(Startup, KnowsTheFourFirstPackets) {
  EXPECT_TRUE(std::holds_alternative<SslRequest>(first(SslRequest{}).packet));
  EXPECT_TRUE(std::holds_alternative<GssEncRequest>(first(GssEncRequest{}).packet));
  auto cancel = std::get<CancelRequest>(first(CancelRequest{42, "abcd"}).packet);
  EXPECT_EQ(cancel.pid, 42u);
  EXPECT_EQ(cancel.key, "abcd");
  StartupMessage message;
  message.params = {{"user", "u"}, {"database", "d"}};
  auto startup = std::get<StartupMessage>(first(message).packet);
  EXPECT_EQ(startup.params, message.params);
  EXPECT_EQ(startup.param("user"), "u");
  EXPECT_EQ(startup.param("options"), "");
}

TEST(Startup, RefusesOtherProtocolsAndBrokenPackets) {
  EXPECT_FALSE(decode_first_packet("GET / HTTP/1.1\r\n").ok());
  EXPECT_FALSE(decode_first_packet(std::string("\0\0\0\7", 4)).ok());
  EXPECT_FALSE(decode_first_packet(std::string("\0\0\0\x08\0\2\0\0", 8)).ok());                   // protocol 2
  EXPECT_FALSE(decode_first_packet(std::string("\0\0\0\x08\0\3\0\0", 8)).ok());                   // no end
  EXPECT_FALSE(decode_first_packet(std::string("\0\0\0\x0d\0\3\0\0user\0", 13)).ok());            // no value
  EXPECT_FALSE(decode_first_packet(std::string("\0\0\0\x0c\x04\xd2\x16\x2e\0\0\0\1", 12)).ok());  // no key
}

}  // namespace
}  // namespace pgb::pgwire
