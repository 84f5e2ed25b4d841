// Every key of the cluster file: its kind, limits, default and meaning. One table, from which the
// validator, the JSON Schema and the reference page are all made.
#pragma once

#include <string_view>
#include <vector>

namespace pgb::model {

enum class Kind {
  kObject,      // `child` lists its keys
  kObjects,     // an array of such objects, at most `max`
  kText,        // any text without control characters, 1..1024 bytes
  kTexts,       // an array of these, at most `max`
  kName,        // letters, digits, _ . -; begins with a letter or digit; at most `max` bytes
  kAddress,     // IPv4
  kSubnet,      // IPv4, /8 to /28
  kPort,        // 1..65535
  kWhole,       // a whole number, min..max
  kNumber,      // any number, min..max
  kBool,        // true, false
  kSwitch,      // those, or "on", "off"
  kChoice,      // one of `choices`
  kPassword,    // text, {"env": name} or {"file": path}
  kParameters,  // an object of server settings
  kDcs,         // "embedded" or {"etcd": [urls]}
};

struct KeyTable;

struct Key {
  std::string_view name;
  Kind kind;
  std::string_view fallback;       // the default as JSON; empty if it is none or is worked out
  std::string_view fallback_note;  // then: how
  std::string_view about;
  double min = 0;
  double max = 0;
  std::vector<std::string_view> choices = {};
  const KeyTable* child = nullptr;
  bool required = false;
};

struct KeyTable {
  std::string_view title;  // of its chapter in the reference page
  std::vector<Key> keys;

  const Key* find(std::string_view name) const;
  std::vector<std::string_view> names() const;
};

// The keys of the whole file. Lives for ever.
const KeyTable& cluster_keys();

// The keys of a PoolConfig: part of balancers[].config, and of the balancer's own file. Lives for ever.
const KeyTable& pool_keys();

// A server setting that the file may not give, and why.
struct OwnedParameter {
  std::string_view name;
  std::string_view why;
};
const std::vector<OwnedParameter>& owned_parameters();

// The settings every server gets unless the file says otherwise.
struct DefaultParameter {
  std::string_view name;
  std::string_view value;
};
const std::vector<DefaultParameter>& default_parameters();

}  // namespace pgb::model
