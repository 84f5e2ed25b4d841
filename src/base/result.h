// Result<T>: a value or an Error; Status: nothing or an Error. The verbs are those of
// std::expected, so that it can take over when the compilers have it.
#pragma once

#include <cstdlib>
#include <optional>
#include <utility>
#include <variant>

#include "base/error.h"

namespace pgb {

template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}

  bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }

  // The value; calling it on an error is a programmer's mistake and ends the process.
  T& value() & { return *checked(std::get_if<0>(&state_)); }
  const T& value() const& { return *checked(std::get_if<0>(&state_)); }
  T&& value() && { return std::move(*checked(std::get_if<0>(&state_))); }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

  // The error; the mirror of value().
  Error& error() & { return *checked(std::get_if<1>(&state_)); }
  const Error& error() const& { return *checked(std::get_if<1>(&state_)); }
  Error&& error() && { return std::move(*checked(std::get_if<1>(&state_))); }

 private:
  template <class P>
  static P* checked(P* pointer) {
    if (pointer == nullptr) std::abort();
    return pointer;
  }
  std::variant<T, Error> state_;
};

class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(Error error) : error_(std::move(error)) {}

  bool ok() const { return !error_.has_value(); }
  explicit operator bool() const { return ok(); }
  Error& error() & { return checked(); }
  const Error& error() const& {
    if (!error_) std::abort();
    return *error_;
  }
  Error&& error() && { return std::move(checked()); }

 private:
  Error& checked() {
    if (!error_) std::abort();
    return *error_;
  }
  std::optional<Error> error_;
};

}  // namespace pgb

// Leaves the function with the error of `expr`, if it has one.
#define PGB_TRY(expr)                                 \
  do {                                                \
    if (auto pgb_status = (expr); !pgb_status.ok()) { \
      return std::move(pgb_status).error();           \
    }                                                 \
  } while (false)
