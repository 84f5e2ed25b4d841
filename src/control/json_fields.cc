#include "control/json_fields.h"

#include <algorithm>
#include <cctype>

#include "base/strings.h"
#include "model/mistakes.h"
#include "net/address.h"

namespace pgb::control {
namespace {

constexpr size_t kLongestWord = 64;  // the edit distance is quadratic

std::string shown_key(const std::string& key) {
  const std::string quoted = model::shown(key);
  return quoted.substr(1, quoted.size() - 2);
}

std::string place_in(std::string_view text, size_t byte) {
  const std::string_view before = text.substr(0, byte);
  const auto line = std::count(before.begin(), before.end(), '\n') + 1;
  const size_t start = before.rfind('\n');
  const size_t column = start == std::string_view::npos ? before.size() : before.size() - start - 1;
  return "line " + std::to_string(line) + ", column " + std::to_string(column + 1);
}

}  // namespace

Result<Json> parse_object(std::string_view text) {
  std::vector<std::set<std::string>> open;  // the keys of the objects that are being read
  std::vector<std::string> twice;
  const auto watch = [&](int, Json::parse_event_t event, Json& value) {
    if (event == Json::parse_event_t::object_start) open.emplace_back();
    if (event == Json::parse_event_t::object_end) open.pop_back();
    if (event == Json::parse_event_t::key) {
      const auto& key = value.get_ref<const std::string&>();
      if (!open.back().insert(key).second) twice.push_back(shown_key(key));
    }
    return true;
  };
  try {
    Json root = Json::parse(text, watch);
    if (!root.is_object()) return Error(Code::kConfig, "the configuration is not a JSON object in { }");
    if (twice.empty()) return root;
    Error error(Code::kConfig, "the configuration gives a key more than once");
    for (const std::string& key : twice) error.with("mistake", key + ": is given twice; keep one");
    return error;
  } catch (const Json::parse_error& error) {  // its own message shows what it read
    const size_t byte = error.byte > 0 ? error.byte - 1 : 0;
    return Error(Code::kConfig, "the configuration is not JSON: " + place_in(text, byte) + " cannot be understood")
        .with("try", "look for a comma too many, a missing quote or a comment");
  } catch (const Json::exception&) {
    return Error(Code::kConfig, "the configuration holds a number that is too large");
  }
}

void Fields::text(const char* key, std::string& out, bool needed) {
  const Json* value = find(key, needed);
  if (value == nullptr) return;
  if (!value->is_string()) return wrong(key, "must be a text");
  out = value->get<std::string>();
  if (needed && out.empty()) wrong(key, "must not be empty");
}

void Fields::texts(const char* key, std::vector<std::string>& out) {
  const Json* list = find(key, false);
  if (list == nullptr) return;
  const auto is_text = [](const Json& item) { return item.is_string() && !item.get_ref<const std::string&>().empty(); };
  if (!list->is_array() || !std::all_of(list->begin(), list->end(), is_text)) {
    return wrong(key, "must be a list of texts, none of them empty");
  }
  out = list->get<std::vector<std::string>>();
}

void Fields::secret(const char* key, Secret& out, bool needed) {
  std::string value;
  text(key, value, needed);
  if (!value.empty()) out = Secret(std::move(value));
}

void Fields::host(const char* key, std::string& out, bool needed) {
  std::string value = out;
  text(key, value, needed);
  if (!value.empty() && !net::Address::parse(value, 1)) {
    return wrong(key, "must be an IP address or localhost, not " + model::shown(value));
  }
  out = std::move(value);
}

void Fields::host_or_name(const char* key, std::string& out, bool needed) {
  std::string value = out;
  text(key, value, needed);
  const auto fits = [](unsigned char c) { return std::isalnum(c) != 0 || c == '-' || c == '.' || c == '_'; };
  const bool name = !value.empty() && value.size() < 254 && std::isalnum(static_cast<unsigned char>(value[0])) != 0 &&
                    std::all_of(value.begin(), value.end(), fits) &&
                    std::any_of(value.begin(), value.end(), [](unsigned char c) { return std::isalpha(c) != 0; });
  if (!value.empty() && !name && !net::Address::parse(value, 1)) {
    return wrong(key, "must be an IP address or the name of a host, not " + model::shown(value));
  }
  out = std::move(value);
}

void Fields::flag(const char* key, bool& out) {
  const Json* value = find(key, false);
  if (value == nullptr) return;
  if (!value->is_boolean()) return wrong(key, "must be true or false");
  out = value->get<bool>();
}

void Fields::real(const char* key, double& out, double least, double most) {
  const Json* value = find(key, false);
  if (value == nullptr) return;
  const double number = value->is_number() ? value->get<double>() : least - 1;
  if (number >= least && number <= most) {
    out = number;
    return;
  }
  const auto plain = [](double limit) { return std::to_string(static_cast<long long>(limit)); };
  wrong(key, "must be a number from " + plain(least) + " to " + plain(most));
}

void Fields::choice(const char* key, std::string& out, const std::vector<std::string_view>& choices) {
  const Json* value = find(key, false);
  if (value == nullptr) return;
  const std::string given = value->is_string() ? value->get<std::string>() : "";
  if (std::find(choices.begin(), choices.end(), given) != choices.end()) {
    out = given;
    return;
  }
  const std::vector<std::string> words(choices.begin(), choices.end());
  wrong(key, "must be one of " + join(words, ", ") + (given.empty() ? "" : ", not " + model::shown(given)));
}

const Json* Fields::find(const char* key, bool needed) {
  known_.insert(key);
  const auto found = object_.find(key);
  if (found != object_.end()) return &*found;
  if (needed) wrong(key, "is missing");
  return nullptr;
}

void Fields::wrong(const std::string& key, const std::string& what) {
  mistakes_.push_back(prefix_ + key + ": " + what);
}

void Fields::no_others() {
  const std::vector<std::string_view> names(known_.begin(), known_.end());
  for (const auto& [key, value] : object_.items()) {
    if (known_.count(key) != 0) continue;
    const std::string_view meant = key.size() > kLongestWord ? "" : nearest(key, names);
    wrong(shown_key(key),
          meant.empty() ? "is not a known key" : "is not a known key; did you mean " + std::string(meant) + "?");
  }
}

}  // namespace pgb::control
