// ErrorResponse and NoticeResponse. Source: PostgreSQL documentation, "Error and Notice Message
// Fields" and "PostgreSQL Error Codes".
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace pgb::pgwire {

namespace sqlstate {
inline constexpr char kConnectionFailure[] = "08006";
inline constexpr char kCannotConnect[] = "08001";
inline constexpr char kRejectedConnection[] = "08004";
inline constexpr char kTransactionUnknown[] = "08007";
inline constexpr char kProtocolViolation[] = "08P01";
inline constexpr char kFeatureNotSupported[] = "0A000";
inline constexpr char kInvalidParameterValue[] = "22023";
inline constexpr char kReadOnlyTransaction[] = "25006";
inline constexpr char kFailedTransaction[] = "25P02";
inline constexpr char kInvalidAuthorization[] = "28000";
inline constexpr char kInvalidPassword[] = "28P01";
inline constexpr char kInvalidCatalogName[] = "3D000";
inline constexpr char kSerializationFailure[] = "40001";
inline constexpr char kStatementCompletionUnknown[] = "40003";
inline constexpr char kSyntaxError[] = "42601";
inline constexpr char kUndefinedTable[] = "42P01";
inline constexpr char kDuplicateObject[] = "42710";
inline constexpr char kTooManyConnections[] = "53300";
inline constexpr char kNotInState[] = "55000";
inline constexpr char kQueryCanceled[] = "57014";
inline constexpr char kAdminShutdown[] = "57P01";
inline constexpr char kCrashShutdown[] = "57P02";
inline constexpr char kCannotConnectNow[] = "57P03";
inline constexpr char kIdleSessionTimeout[] = "57P05";
inline constexpr char kInternalError[] = "XX000";
}  // namespace sqlstate

struct ErrorResponse {
  std::string severity = "ERROR";  // sent as both S and V; read from V where there is one
  std::string sqlstate = sqlstate::kInternalError;
  std::string message;
  std::string detail;                                // left out when empty
  std::string hint;                                  // left out when empty
  std::vector<std::pair<char, std::string>> others;  // every other field, as it came

  bool fatal() const { return severity == "FATAL" || severity == "PANIC"; }
};

// Appends a framed ErrorResponse ('E') or NoticeResponse ('N').
void encode(std::string& out, const ErrorResponse& error);
void encode_notice(std::string& out, const ErrorResponse& notice);

// Reads the payload of either. kProtocol when truncated or without a message.
Result<ErrorResponse> decode_error(std::string_view payload);

// One line for people: "FATAL 28P01: password authentication failed …".
std::string describe(const ErrorResponse& error);

}  // namespace pgb::pgwire
