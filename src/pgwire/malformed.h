// How every decoder of this folder ends. Not for use outside it.
#pragma once

#include <string>
#include <utility>

#include "base/result.h"
#include "pgwire/reader.h"

namespace pgb::pgwire {

inline Error malformed(const char* what) {
  return Error(Code::kProtocol, std::string("the peer sent a malformed ") + what + " message");
}

// The value if the reader took exactly the whole payload.
template <class T>
Result<T> finish(const Reader& reader, T value, const char* what) {
  if (!reader.complete()) return malformed(what);
  return value;
}

}  // namespace pgb::pgwire
