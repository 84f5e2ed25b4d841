// What `help TOPIC` says beside the verbs.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace pgb::cli {

struct Topic {
  std::string_view name;
  std::string_view about;  // one line
};
const std::vector<Topic>& topics();

// The whole text; empty if there is no such topic.
std::string topic_text(std::string_view name);

// The topic that explains an error; empty if none does.
std::string_view topic_of(Code code);

struct Meaning {
  std::string_view name;
  std::string_view text;
};
const std::vector<Meaning>& exit_codes();
const std::vector<Meaning>& environment_variables();

}  // namespace pgb::cli
