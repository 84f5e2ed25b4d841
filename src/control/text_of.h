// Values of the tables as text. Only for .cc files.
#pragma once

#include <chrono>
#include <cstdio>
#include <ctime>
#include <string>
#include <utility>

namespace pgb::control {

// "2026-05-01 12:00:00", in UTC.
inline std::string utc(std::chrono::system_clock::time_point at) {
  const std::time_t seconds = std::chrono::system_clock::to_time_t(at);
  std::tm parts = {};
  ::gmtime_r(&seconds, &parts);
  char out[32];
  std::strftime(out, sizeof out, "%Y-%m-%d %H:%M:%S", &parts);
  return out;
}

// "2026-05-01T12:00:00.123Z", as the lease store's history has it.
inline std::string utc_millis(std::chrono::system_clock::time_point at) {
  const auto millis = std::chrono::duration_cast<std::chrono::milliseconds>(at.time_since_epoch()).count() % 1000;
  char out[48];
  const std::string text = utc(at);
  std::snprintf(out, sizeof out, "%.10sT%.8s.%03dZ", text.c_str(), text.c_str() + 11, static_cast<int>(millis));
  return out;
}

inline std::chrono::system_clock::time_point ago(double seconds) {
  return std::chrono::system_clock::now() -
         std::chrono::duration_cast<std::chrono::system_clock::duration>(std::chrono::duration<double>(seconds));
}

// A moment of the steady clock, in nanoseconds.
inline std::chrono::system_clock::time_point at_steady(int64_t ns) {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return ago(std::chrono::duration<double>(now - std::chrono::nanoseconds(ns)).count());
}

// "[::1]:5432" in its two parts.
inline std::pair<std::string, std::string> host_and_port(const std::string& address) {
  const size_t colon = address.rfind(':');
  if (colon == std::string::npos) return {address, "0"};
  std::string host = address.substr(0, colon);
  if (host.size() > 2 && host.front() == '[') host = host.substr(1, host.size() - 2);
  return {std::move(host), address.substr(colon + 1)};
}

inline std::string fixed(double value, int digits) {
  char out[64];
  std::snprintf(out, sizeof out, "%.*f", digits, value);
  return out;
}

}  // namespace pgb::control
