// The letters and numbers of the PostgreSQL frontend/backend protocol 3.0.
// Source: PostgreSQL documentation, "Message Formats".
#pragma once

#include <cstddef>
#include <cstdint>

namespace pgb::pgwire {

// Tags of messages that clients send.
namespace fe {
inline constexpr char kBind = 'B';
inline constexpr char kClose = 'C';
inline constexpr char kCopyData = 'd';
inline constexpr char kCopyDone = 'c';
inline constexpr char kCopyFail = 'f';
inline constexpr char kDescribe = 'D';
inline constexpr char kExecute = 'E';
inline constexpr char kFlush = 'H';
inline constexpr char kFunctionCall = 'F';
inline constexpr char kParse = 'P';
inline constexpr char kPassword = 'p';  // also SASLInitialResponse, SASLResponse, GSSResponse
inline constexpr char kQuery = 'Q';
inline constexpr char kSync = 'S';
inline constexpr char kTerminate = 'X';
}  // namespace fe

// Tags of messages that servers send.
namespace be {
inline constexpr char kAuthentication = 'R';
inline constexpr char kBackendKeyData = 'K';
inline constexpr char kBindComplete = '2';
inline constexpr char kCloseComplete = '3';
inline constexpr char kCommandComplete = 'C';
inline constexpr char kCopyBothResponse = 'W';
inline constexpr char kCopyData = 'd';
inline constexpr char kCopyDone = 'c';
inline constexpr char kCopyInResponse = 'G';
inline constexpr char kCopyOutResponse = 'H';
inline constexpr char kDataRow = 'D';
inline constexpr char kEmptyQueryResponse = 'I';
inline constexpr char kErrorResponse = 'E';
inline constexpr char kFunctionCallResponse = 'V';
inline constexpr char kNegotiateProtocolVersion = 'v';
inline constexpr char kNoData = 'n';
inline constexpr char kNoticeResponse = 'N';
inline constexpr char kNotificationResponse = 'A';
inline constexpr char kParameterDescription = 't';
inline constexpr char kParameterStatus = 'S';
inline constexpr char kParseComplete = '1';
inline constexpr char kPortalSuspended = 's';
inline constexpr char kReadyForQuery = 'Z';
inline constexpr char kRowDescription = 'T';
}  // namespace be

// The number that an Authentication message starts with.
enum class AuthCode : uint32_t {
  kOk = 0,
  kKerberosV5 = 2,
  kCleartextPassword = 3,
  kMd5Password = 5,
  kGss = 7,
  kGssContinue = 8,
  kSspi = 9,
  kSasl = 10,
  kSaslContinue = 11,
  kSaslFinal = 12,
};

// The byte of ReadyForQuery.
enum class TxnStatus : char {
  kIdle = 'I',
  kInTransaction = 'T',
  kFailed = 'E',
};

// The second number of an untagged first packet.
inline constexpr uint32_t kProtocol30 = 3u << 16;
inline constexpr uint32_t kCancelRequestCode = (1234u << 16) | 5678u;
inline constexpr uint32_t kSslRequestCode = (1234u << 16) | 5679u;
inline constexpr uint32_t kGssEncRequestCode = (1234u << 16) | 5680u;

inline constexpr size_t kHeaderSize = 5;          // tag and length
inline constexpr size_t kMaxFirstPacket = 10000;  // what PostgreSQL itself accepts
inline constexpr size_t kMaxBody = 0x3fffffff;    // PostgreSQL's largest allocation, 1 GB - 1
inline constexpr size_t kMaxAuthBody = 65535;     // before a client has proved who it is

inline constexpr char kScramSha256[] = "SCRAM-SHA-256";
inline constexpr char kScramSha256Plus[] = "SCRAM-SHA-256-PLUS";  // with channel binding

}  // namespace pgb::pgwire
