// The page at / and what belongs to it: the same for everybody, with no secret and nothing of the state in it but the
// text for browsers without JavaScript.
#pragma once

#include <functional>
#include <string>

#include "control/access.h"
#include "http/message.h"

namespace pgb::control {

class WebPage {
 public:
  // `text`: the state, for terminals; called on a connection's thread.
  explicit WebPage(std::function<std::string()> text) : text_(std::move(text)) {}

  // Whether the path is one of the page's.
  static bool serves(std::string_view path);
  // The page, or with "Accept: text/plain" the state as text, which is for viewers (401 for others).
  http::Response answer(const http::Request& request, std::string_view path, Role role) const;

 private:
  http::Response front(const http::Request& request, Role role) const;

  const std::function<std::string()> text_;
};

}  // namespace pgb::control
