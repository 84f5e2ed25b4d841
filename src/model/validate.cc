#include "model/validate.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/strings.h"
#include "model/ipv4.h"

namespace pgb::model {

std::string join_path(const std::string& path, std::string_view key) {
  std::string whole = path.empty() ? "" : path + ".";
  whole += key.size() <= 64 ? key : key.substr(0, 60);
  for (char& c : whole) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  }
  return whole;
}

std::optional<long long> whole_number(const JsonValue& value) {
  long long number = 0;
  const char* end = value.text.data() + value.text.size();
  const auto [stop, error] = std::from_chars(value.text.data(), end, number);
  if (!value.is(JsonValue::Kind::kNumber) || error != std::errc() || stop != end) return std::nullopt;
  return number;
}

std::optional<std::string> parameter_text(const JsonValue& value) {
  switch (value.kind) {
    case JsonValue::Kind::kBool: return value.boolean ? "on" : "off";
    case JsonValue::Kind::kNumber:
    case JsonValue::Kind::kString: return value.text;
    default: return std::nullopt;
  }
}

namespace {

using JsonKind = JsonValue::Kind;

std::string plain(double number) {
  return number == std::floor(number) ? std::to_string(static_cast<long long>(number)) : std::string("0.1");
}

bool has_control(std::string_view text) {
  return std::any_of(text.begin(), text.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; });
}

bool is_word(std::string_view text, std::string_view also) {
  return std::all_of(text.begin(), text.end(), [&](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           also.find(c) != std::string_view::npos;
  });
}

std::string quoted_list(const std::vector<std::string_view>& words) {
  std::string out;
  for (size_t i = 0; i < words.size(); ++i) {
    if (i > 0) out += i + 1 == words.size() ? " or " : ", ";
    out += "\"" + std::string(words[i]) + "\"";
  }
  return out;
}

std::string suggestion(std::string_view word, const std::vector<std::string_view>& candidates) {
  if (word.size() > 64) return "";  // the edit distance is quadratic
  const auto near = nearest(word, candidates);
  return near.empty() ? "" : "; did you mean \"" + std::string(near) + "\"?";
}

// What stands beside the addresses of an etcd cluster.
constexpr std::string_view kEtcdTexts[] = {"ca_file", "cert_file", "key_file", "user"};

JsonValue* member_of(JsonValue& object, std::string_view key) {
  const auto found =
      std::find_if(object.items.begin(), object.items.end(), [&](const auto& m) { return m.key == key; });
  return found == object.items.end() ? nullptr : &*found;
}

class Validator {
 public:
  explicit Validator(Mistakes& mistakes) : mistakes_(mistakes) {}

  void object(JsonValue& object, const KeyTable& table, const std::string& path) {
    for (auto& member : object.items) {
      const std::string at = join_path(path, member.key);
      const Key* key = table.find(member.key);
      if (key == nullptr) {
        unknown(member, table.names(), at);
      } else if (object.find(member.key) == &member) {  // of a key given twice the first counts
        value(member, *key, at);
      }
    }
    for (const auto& key : table.keys) {
      if (key.required && object.find(key.name) == nullptr) {
        mistakes_.add(object.place, std::string(key.name), "is missing; every cluster file needs it");
      }
    }
  }

 private:
  void wrong(JsonValue& value, const std::string& path, std::string text) {
    value.usable = false;
    mistakes_.add(value.place, path, std::move(text));
  }

  void unknown(JsonValue& member, const std::vector<std::string_view>& known, const std::string& path) {
    member.usable = false;
    const auto hint = suggestion(member.key, known);
    mistakes_.add(member.key_place, path,
                  "unknown key" + (hint.empty() ? "; known here: " + quoted_list(known) : hint));
  }

  // Notes a mistake and is false if the value is of another kind.
  bool expect(JsonValue& value, JsonKind kind, const std::string& path) {
    if (value.is(kind)) return true;
    std::string text = "must be " + std::string(kind_name(kind)) + ", not " + std::string(kind_name(value.kind));
    if (value.is(JsonKind::kNull) && path.back() != ']') text += "; leave the key out for its default";
    if (kind == JsonKind::kNumber && value.is(JsonKind::kString) && parse_u64(value.text)) {
      text += "; write " + value.text.substr(0, 20) + " without quotes";
    }
    if (kind == JsonKind::kArray && value.is(JsonKind::kObject)) text += "; put it in [ ]";
    wrong(value, path, std::move(text));
    return false;
  }

  void value(JsonValue& value, const Key& key, const std::string& path) {
    switch (key.kind) {
      case Kind::kObject:
        if (expect(value, JsonKind::kObject, path)) object(value, *key.child, path);
        return;
      case Kind::kObjects: return objects(value, key, path);
      case Kind::kText: return text(value, path, key.max > 0 ? key.max : 1024);
      case Kind::kTexts: return texts(value, key, path);
      case Kind::kName: return name(value, key, path);
      case Kind::kAddress: return address(value, path);
      case Kind::kSubnet: return subnet(value, path);
      case Kind::kPort: return whole(value, 1, 65535, path);
      case Kind::kWhole: return whole(value, key.min, key.max, path);
      case Kind::kNumber: return number(value, key, path);
      case Kind::kBool: expect(value, JsonKind::kBool, path); return;
      case Kind::kSwitch: return on_off(value, path);
      case Kind::kChoice: return choice(value, key, path);
      case Kind::kPassword: return password(value, path);
      case Kind::kParameters: return parameters(value, path);
      case Kind::kDcs: return dcs(value, path);
    }
  }

  bool counted(JsonValue& value, double min, double max, const std::string& path) {
    if (!expect(value, JsonKind::kArray, path)) return false;
    const auto count = static_cast<double>(value.items.size());
    if (count < min) wrong(value, path, "is empty; leave the key out for its default");
    if (count > max) wrong(value, path, "holds " + plain(count) + " entries; at most " + plain(max) + " are possible");
    return value.usable;
  }

  void objects(JsonValue& value, const Key& key, const std::string& path) {
    if (!counted(value, key.min, key.max, path)) return;
    for (size_t i = 0; i < value.items.size(); ++i) {
      const std::string at = path + "[" + std::to_string(i) + "]";
      if (expect(value.items[i], JsonKind::kObject, at)) object(value.items[i], *key.child, at);
    }
  }

  void texts(JsonValue& value, const Key& key, const std::string& path) {
    if (!counted(value, key.min, key.max, path)) return;
    for (size_t i = 0; i < value.items.size(); ++i) text(value.items[i], path + "[" + std::to_string(i) + "]", 1024);
  }

  void text(JsonValue& value, const std::string& path, double longest) {
    if (!expect(value, JsonKind::kString, path)) return;
    if (value.text.empty()) return wrong(value, path, "must not be empty; leave the key out for its default");
    if (has_control(value.text)) return wrong(value, path, "must not hold control characters or line ends");
    if (static_cast<double>(value.text.size()) > longest) {
      wrong(value, path,
            "is " + std::to_string(value.text.size()) + " bytes long; at most " + plain(longest) + " are possible");
    }
  }

  void name(JsonValue& value, const Key& key, const std::string& path) {
    if (!expect(value, JsonKind::kString, path)) return;
    const std::string& text = value.text;
    if (text.empty()) return wrong(value, path, "must not be empty");
    if (text.find("${") != std::string::npos)
      return wrong(value, path, "${…} is not replaced in a cluster file; write the name itself");
    if (!is_word(text, "_.-"))
      return wrong(value, path, shown(text) + " is no name; use letters, digits, _ . and - only");
    if (!is_word(text.substr(0, 1), ""))
      return wrong(value, path, shown(text) + " must begin with a letter or a digit");
    if (static_cast<double>(text.size()) > key.max) {
      wrong(value, path,
            "is " + std::to_string(text.size()) + " characters long; at most " + plain(key.max) + " are possible");
    }
  }

  void address(JsonValue& value, const std::string& path) {
    if (!expect(value, JsonKind::kString, path) || parse_ipv4(value.text)) return;
    const bool local = value.text == "localhost";
    wrong(value, path,
          shown(value.text) + " is not an IPv4 address" + (local ? "; write \"127.0.0.1\"" : " such as 172.31.1.10"));
  }

  void subnet(JsonValue& value, const std::string& path) {
    if (!expect(value, JsonKind::kString, path)) return;
    const auto net = parse_subnet(value.text);
    if (!net) return wrong(value, path, shown(value.text) + " is not an IPv4 subnet such as 172.31.0.0/16");
    if (net->prefix < 8 || net->prefix > 28) {
      return wrong(value, path, "must be a /8 to a /28, not a /" + std::to_string(net->prefix));
    }
    const uint32_t base = network_of(net->base, net->prefix);
    if (base == net->base) return;
    wrong(value, path,
          shown(value.text) + " has host bits set; did you mean \"" + format_ipv4(base) + "/" +
              std::to_string(net->prefix) + "\"?");
  }

  void whole(JsonValue& value, double min, double max, const std::string& path) {
    if (!expect(value, JsonKind::kNumber, path)) return;
    const auto number = whole_number(value);
    if (number && static_cast<double>(*number) >= min && static_cast<double>(*number) <= max) return;
    const bool fraction = value.text.find_first_of(".eE") != std::string::npos;
    wrong(value, path,
          std::string("must be ") + (fraction ? "a whole number, " : "") + plain(min) + ".." + plain(max) + ", not " +
              value.text.substr(0, 40));
  }

  void number(JsonValue& value, const Key& key, const std::string& path) {
    if (!expect(value, JsonKind::kNumber, path)) return;
    double number = 0;
    const auto [stop, error] = std::from_chars(value.text.data(), value.text.data() + value.text.size(), number);
    if (error == std::errc() && number >= key.min && number <= key.max) return;
    wrong(value, path, "must be " + plain(key.min) + ".." + plain(key.max) + ", not " + value.text.substr(0, 40));
  }

  void on_off(JsonValue& value, const std::string& path) {
    if (value.is(JsonKind::kBool)) return;
    if (value.is(JsonKind::kString) && (value.text == "on" || value.text == "off")) return;
    const std::string what = value.is(JsonKind::kString) ? shown(value.text) : std::string(kind_name(value.kind));
    wrong(value, path, "must be \"on\", \"off\", true or false, not " + what);
  }

  void choice(JsonValue& value, const Key& key, const std::string& path) {
    if (!expect(value, JsonKind::kString, path)) return;
    if (std::find(key.choices.begin(), key.choices.end(), value.text) != key.choices.end()) return;
    const auto hint = suggestion(value.text, key.choices);
    wrong(value, path, "must be " + quoted_list(key.choices) + ", not " + shown(value.text) + hint);
  }

  // No message may show what a password is.
  void password(JsonValue& value, const std::string& path) {
    if (value.is(JsonKind::kString)) return text(value, path, 1024);
    if (!value.is(JsonKind::kObject)) {
      return wrong(
          value, path,
          "must be a string, {\"env\": \"NAME\"} or {\"file\": \"path\"}, not " + std::string(kind_name(value.kind)));
    }
    for (auto& member : value.items) {
      const std::string at = join_path(path, member.key);
      if (member.key != "env" && member.key != "file")
        unknown(member, {"env", "file"}, at);
      else
        text(member, at, 1024);
      if (!member.usable) value.usable = false;
    }
    if (value.items.size() == 1) return;
    if (value.usable) wrong(value, path, "must hold either \"env\" or \"file\"");
  }

  void parameters(JsonValue& value, const std::string& path) {
    if (!expect(value, JsonKind::kObject, path)) return;
    for (auto& member : value.items) parameter(member, join_path(path, member.key));
  }

  void parameter(JsonValue& member, const std::string& path) {
    std::string name = member.key;
    for (char& c : name) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
    const auto wrong_name = [&](const std::string& text) {
      member.usable = false;
      mistakes_.add(member.key_place, path, text);
    };
    if (name.empty() || name.size() > 127 || !is_word(name, "_.") || (name[0] >= '0' && name[0] <= '9')) {
      return wrong_name(shown(member.key) + " is no name of a server setting");
    }
    for (const auto& owned : owned_parameters()) {
      if (owned.name == name) return wrong_name("cannot be set here: " + std::string(owned.why));
    }
    const auto text = parameter_text(member);
    if (!text)
      return wrong(member, path,
                   "must be a string, a number, true or false, not " + std::string(kind_name(member.kind)));
    if (has_control(*text)) return wrong(member, path, "must not hold control characters or line ends");
    if (text->size() > 8192) return wrong(member, path, "is longer than 8192 bytes");
    if (name == "wal_level" && *text != "replica" && *text != "logical") {
      return wrong(member, path, "must be \"replica\" or \"logical\": replicas could not stream otherwise");
    }
    if (name == "hot_standby" && *text != "on" && *text != "true") {
      wrong(member, path, "must be \"on\": the balancer sends reads to the replicas");
    }
  }

  void dcs(JsonValue& value, const std::string& path) {
    if (value.is(JsonKind::kString) && value.text == "embedded") return;
    if (!value.is(JsonKind::kObject)) {
      const std::string what = value.is(JsonKind::kString) ? shown(value.text) : std::string(kind_name(value.kind));
      return wrong(value, path, "must be \"embedded\" or {\"etcd\": [\"http://host:2379\"]}, not " + what);
    }
    for (auto& member : value.items) {
      const std::string at = join_path(path, member.key);
      if (member.key == "etcd") {
        if (counted(member, 1, 16, at)) urls(member, at);
      } else if (member.key == "password") {
        password(member, at);
      } else if (std::find(std::begin(kEtcdTexts), std::end(kEtcdTexts), member.key) != std::end(kEtcdTexts)) {
        text(member, at, 1024);
      } else {
        unknown(member, {"etcd", "ca_file", "cert_file", "key_file", "user", "password"}, at);
      }
    }
    etcd_access(value, path);
    if (value.items.empty())
      wrong(value, path, "must be \"embedded\" or {\"etcd\": [\"http://host:2379\"]}, not an empty object");
  }

  void etcd_access(JsonValue& dcs, const std::string& path) {
    if (dcs.items.empty()) return;
    JsonValue* etcd = member_of(dcs, "etcd");
    if (etcd == nullptr) return wrong(dcs, path, "wants \"etcd\": [\"http://host:2379\"] beside what it says of it");
    together(dcs, path, "cert_file", "key_file");
    together(dcs, path, "key_file", "cert_file");
    together(dcs, path, "password", "user");  // a recorded file keeps no password
    const auto encrypted = [](const JsonValue& url) { return url.text.rfind("https://", 0) == 0; };
    if (!etcd->usable || std::any_of(etcd->items.begin(), etcd->items.end(), encrypted)) return;
    for (const char* key : {"ca_file", "cert_file"}) {
      if (JsonValue* given = member_of(dcs, key))
        wrong(*given, join_path(path, key), "is of no use without an https:// address");
    }
  }

  void together(JsonValue& object, const std::string& path, const char* key, const char* wanted) {
    JsonValue* given = member_of(object, key);
    if (given == nullptr || member_of(object, wanted) != nullptr) return;
    wrong(*given, join_path(path, key), "wants \"" + std::string(wanted) + "\" beside it");
  }

  void urls(JsonValue& list, const std::string& path) {
    for (size_t i = 0; i < list.items.size(); ++i) {
      auto& url = list.items[i];
      const std::string at = path + "[" + std::to_string(i) + "]";
      text(url, at, 1024);
      if (!url.usable || url.text.rfind("http://", 0) == 0 || url.text.rfind("https://", 0) == 0) continue;
      wrong(url, at, shown(url.text) + " must begin with http:// or https://");
    }
  }

  Mistakes& mistakes_;
};

}  // namespace

void validate(JsonValue& object, const KeyTable& table, const std::string& path, Mistakes& mistakes) {
  Validator(mistakes).object(object, table, path);
}

}  // namespace pgb::model
