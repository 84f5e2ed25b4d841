// Points in time as text.
#pragma once

#include <string>

namespace pgb::cluster {

std::string utc_now();  // "2026-01-31T12:00:00.123Z", RFC 3339

}  // namespace pgb::cluster
