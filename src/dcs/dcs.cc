#include "dcs/dcs.h"

namespace pgb::dcs {

Outcome outcome_of(const Error& error) {
  switch (error.code) {
    case Code::kUnreachable:
    case Code::kNotReady:
    case Code::kIo:
    case Code::kTimeout:
    case Code::kInterrupted: return Outcome::kNotExecuted;
    case Code::kAuth:
    case Code::kCompacted:
    case Code::kNotFound:
    case Code::kDiskFull:
    case Code::kProtocol: return Outcome::kRefused;
    default: return Outcome::kUnknown;
  }
}

std::string prefix_end(std::string prefix) {
  while (!prefix.empty() && static_cast<unsigned char>(prefix.back()) == 0xff) prefix.pop_back();
  if (prefix.empty()) return std::string(1, '\0');
  prefix.back() = static_cast<char>(static_cast<unsigned char>(prefix.back()) + 1);
  return prefix;
}

}  // namespace pgb::dcs
