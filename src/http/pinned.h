// Inside http only: trust in certificates that are known, and in nothing else.
#pragma once

#include <optional>
#include <string>

#include "base/error.h"

struct ssl_ctx_st;

namespace pgb::http {

// From now on a peer of this context is taken for the right one if it shows exactly one of these certificates (PEM, as
// many as there are), whoever signed it, whatever names it has and however old it is. kConfig: there is none in the
// text.
std::optional<Error> trust_only(ssl_ctx_st* context, const std::string& pem);

}  // namespace pgb::http
