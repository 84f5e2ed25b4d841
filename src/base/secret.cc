#include "base/secret.h"

#include <string.h>
#include <sys/random.h>

#include <algorithm>
#include <cstdlib>

namespace pgb {

Secret::Secret(Secret&& other) noexcept : value_(std::move(other.value_)) { other.wipe(); }

Secret& Secret::operator=(const Secret& other) {
  if (this != &other) {
    wipe();
    value_ = other.value_;
  }
  return *this;
}

Secret& Secret::operator=(Secret&& other) noexcept {
  if (this != &other) {
    wipe();
    value_ = std::move(other.value_);
    other.wipe();
  }
  return *this;
}

Secret::~Secret() { wipe(); }

void Secret::wipe() {
  explicit_bzero(value_.data(), value_.size());
  value_.clear();
}

bool Secret::equals(std::string_view other) const {
  unsigned difference = value_.size() == other.size() ? 0 : 1;
  for (size_t i = 0; i < std::max(value_.size(), other.size()); ++i) {
    const unsigned char a = i < value_.size() ? static_cast<unsigned char>(value_[i]) : 0;
    const unsigned char b = i < other.size() ? static_cast<unsigned char>(other[i]) : 0;
    difference |= static_cast<unsigned>(a ^ b);
  }
  return difference == 0;
}

Secret Secret::random(size_t bytes) {
  static const char* kHex = "0123456789abcdef";
  std::string raw(bytes, '\0');
  if (getrandom(raw.data(), raw.size(), 0) != static_cast<ssize_t>(bytes)) std::abort();
  std::string text;
  text.reserve(bytes * 2);
  for (unsigned char c : raw) {
    text.push_back(kHex[c >> 4]);
    text.push_back(kHex[c & 15]);
  }
  explicit_bzero(raw.data(), raw.size());
  return Secret(std::move(text));
}

}  // namespace pgb
