// Reads what the Engine streams: logs of several channels in frames, progress as lines of JSON.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "base/result.h"

namespace pgb::runtime {

// Standard output and standard error of a container without a terminal come as frames: a byte that names the
// channel, three zeros, the length (big endian), the bytes; with timestamps=1 these begin with the time and a space.
// Returns the bytes, without the times, of those frames that are later than `last`, and sets it to the latest. A
// stream without frames (a terminal's) is taken line by line; a cut last frame gives what there is of it.
std::string without_stamps(std::string_view stream, std::string& last);

// "2026-01-31T12:00:00.123456789Z" as the Engine wants it for `since`: "1769860800.123456789". Empty if it is no time.
std::string unix_time(const std::string& stamp);

// "%20" for all that is not unreserved: for query values and path parts.
std::string url_escape(std::string_view text);

// The lesser of two API versions, "1.41" and "1.44". Empty if one of them is no version.
std::string lesser_api(std::string_view ours, std::string_view theirs);

// {"repository", "tag"}: "postgres:17" -> postgres, 17; "registry:5000/x" -> …, latest; digests stay in the first.
std::pair<std::string, std::string> split_reference(const std::string& reference);

// Sums up the progress of a pull or import, which comes as lines of JSON.
class ProgressReader {
 public:
  using Tell = std::function<void(const std::string&)>;
  explicit ProgressReader(Tell tell) : tell_(std::move(tell)) {}

  void feed(std::string_view piece);
  const std::string& error() const { return error_; }  // the Engine's sentence; empty if all went well
  const std::string& last_status() const { return last_status_; }

 private:
  void line(std::string_view text);
  void tell();

  struct Layer {
    int64_t current = 0, total = 0;
  };
  Tell tell_;
  std::string buffer_;
  std::string error_;
  std::string last_status_;
  std::map<std::string, Layer> layers_;
  std::chrono::steady_clock::time_point told_{};
};

}  // namespace pgb::runtime
