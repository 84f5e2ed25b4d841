// A string that must not be seen: prints as ***, compares in constant time, is wiped at the end.
#pragma once

#include <string>
#include <string_view>

namespace pgb {

class Secret {
 public:
  Secret() = default;
  explicit Secret(std::string value) : value_(std::move(value)) {}
  Secret(const Secret&) = default;
  Secret(Secret&& other) noexcept;
  Secret& operator=(const Secret& other);
  Secret& operator=(Secret&& other) noexcept;
  ~Secret();

  // The text itself. Every call is a place where it may leak: keep them few.
  const std::string& reveal() const { return value_; }
  bool empty() const { return value_.empty(); }

  // Constant time in the length of the longer one.
  bool equals(std::string_view other) const;
  bool operator==(const Secret& other) const { return equals(other.value_); }

  // `bytes` bytes from the kernel's random source, as lower-case hex.
  static Secret random(size_t bytes);

 private:
  void wipe();
  std::string value_;
};

}  // namespace pgb
