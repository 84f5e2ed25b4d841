#include "model/schema.h"

#include "model/key_table.h"

namespace pgb::model {

namespace {

constexpr std::string_view kNamePattern = "^[A-Za-z0-9][A-Za-z0-9_.-]*$";
constexpr std::string_view kAddressPattern = R"(^(\\d{1,3}\\.){3}\\d{1,3}$)";
constexpr std::string_view kSubnetPattern = R"(^(\\d{1,3}\\.){3}\\d{1,3}/\\d{1,2}$)";

std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"') out += '\\';
    out += c;
  }
  return out + "\"";
}

std::string number(double value) {
  std::string text = std::to_string(value);
  while (text.back() == '0') text.pop_back();
  if (text.back() == '.') text.pop_back();
  return text;
}

std::string object_schema(const KeyTable& table, const std::string& indent);

std::string between(double min, double max) {
  return R"(, "minimum": )" + number(min) + R"(, "maximum": )" + number(max);
}

std::string text_schema(double longest) {
  return R"("type": "string", "minLength": 1, "maxLength": )" + number(longest > 0 ? longest : 1024);
}

std::string pattern(std::string_view regex) { return R"("type": "string", "pattern": ")" + std::string(regex) + "\""; }

std::string array_schema(const Key& key, const std::string& items) {
  return R"("type": "array", "minItems": )" + number(key.min) + R"(, "maxItems": )" + number(key.max) +
         R"(, "items": )" + items;
}

std::string choices_schema(const Key& key) {
  std::string list;
  for (const auto& choice : key.choices) list += (list.empty() ? "" : ", ") + quoted(choice);
  return "\"enum\": [" + list + "]";
}

std::string password_schema() {
  const std::string named =
      R"("type": "object", "additionalProperties": false, "minProperties": 1, "maxProperties": 1)";
  return R"("oneOf": [{)" + text_schema(0) + "}, {" + named + R"(, "properties": {"env": {)" + text_schema(0) +
         R"(}, "file": {)" + text_schema(0) + "}}}]";
}

std::string parameters_schema() {
  std::string refused;
  for (const auto& owned : owned_parameters()) refused += (refused.empty() ? "" : ", ") + quoted(owned.name);
  return R"("type": "object", "additionalProperties": {"type": ["string", "number", "boolean"]}, "propertyNames": {"not": {"enum": [)" +
         refused + "]}}";
}

std::string dcs_schema() {
  return R"("oneOf": [{"const": "embedded"}, {"type": "object", "additionalProperties": false, "required": ["etcd"], )"
         R"("properties": {"etcd": {"type": "array", "minItems": 1, "maxItems": 16, )"
         R"("items": {"type": "string", "pattern": "^https?://"}}, "ca_file": {)" +
         text_schema(0) + R"(}, "cert_file": {)" + text_schema(0) + R"(}, "key_file": {)" + text_schema(0) +
         R"(}, "user": {)" + text_schema(0) + R"(}, "password": {)" + password_schema() +
         R"(}}, "dependentRequired": {"cert_file": ["key_file"], "key_file": ["cert_file"], )"
         R"("password": ["user"]}}])";
}

std::string kind_schema(const Key& key, const std::string& indent) {
  switch (key.kind) {
    case Kind::kObject: return object_schema(*key.child, indent);
    case Kind::kObjects: return array_schema(key, "{" + object_schema(*key.child, indent) + "}");
    case Kind::kText: return text_schema(key.max);
    case Kind::kTexts: return array_schema(key, "{" + text_schema(0) + "}");
    case Kind::kName: return pattern(kNamePattern) + R"(, "maxLength": )" + number(key.max);
    case Kind::kAddress: return pattern(kAddressPattern);
    case Kind::kSubnet: return pattern(kSubnetPattern);
    case Kind::kPort: return "\"type\": \"integer\"" + between(1, 65535);
    case Kind::kWhole: return "\"type\": \"integer\"" + between(key.min, key.max);
    case Kind::kNumber: return "\"type\": \"number\"" + between(key.min, key.max);
    case Kind::kBool: return R"("type": "boolean")";
    case Kind::kSwitch: return R"("enum": [true, false, "on", "off"])";
    case Kind::kChoice: return choices_schema(key);
    case Kind::kPassword: return password_schema();
    case Kind::kParameters: return parameters_schema();
    case Kind::kDcs: return dcs_schema();
  }
  return "";
}

std::string object_schema(const KeyTable& table, const std::string& indent) {
  std::string properties;
  std::string required;
  for (const auto& key : table.keys) {
    properties += (properties.empty() ? "\n" : ",\n") + indent + "  " + quoted(key.name) + ": {" +
                  kind_schema(key, indent + "  ");
    properties += ", \"description\": " + quoted(key.about);
    if (!key.fallback.empty()) properties += ", \"default\": " + std::string(key.fallback);
    properties += "}";
    if (key.required) required += (required.empty() ? "" : ", ") + quoted(key.name);
  }
  std::string out = R"("type": "object", "additionalProperties": false)";
  if (!required.empty()) out += ", \"required\": [" + required + "]";
  return out + ", \"properties\": {" + properties + "\n" + indent + "}";
}

std::string_view kind_words(const Key& key) {
  switch (key.kind) {
    case Kind::kObject: return "object";
    case Kind::kObjects: return "array of objects";
    case Kind::kText: return "text";
    case Kind::kTexts: return "array of texts";
    case Kind::kName: return "name";
    case Kind::kAddress: return "IPv4 address";
    case Kind::kSubnet: return "IPv4 subnet";
    case Kind::kPort: return "port";
    case Kind::kWhole: return "whole number";
    case Kind::kNumber: return "number";
    case Kind::kBool: return "true, false";
    case Kind::kSwitch: return "\"on\", \"off\", true, false";
    case Kind::kChoice: return "";
    case Kind::kPassword: return "text, `{\"env\": …}` or `{\"file\": …}`";
    case Kind::kParameters: return "object of settings";
    case Kind::kDcs: return "`\"embedded\"` or `{\"etcd\": [urls], …}`";
  }
  return "";
}

std::string value_cell(const Key& key) {
  std::string out(kind_words(key));
  for (const auto& choice : key.choices) out += (out.empty() ? "" : ", ") + quoted(choice);
  const bool ranged = key.kind == Kind::kWhole || key.kind == Kind::kNumber;
  return ranged ? out + ", " + number(key.min) + "–" + number(key.max) : out;
}

std::string default_cell(const Key& key) {
  if (key.required) return "required";
  return key.fallback.empty() ? std::string(key.fallback_note) : "`" + std::string(key.fallback) + "`";
}

std::string chapter(const KeyTable& table) {
  std::string out = "## " + std::string(table.title) + "\n\n| key | value | default | meaning |\n|---|---|---|---|\n";
  for (const auto& key : table.keys) {
    out += "| `" + std::string(key.name) + "` | " + value_cell(key) + " | " + default_cell(key) + " | " +
           std::string(key.about) + " |\n";
  }
  for (const auto& key : table.keys) {
    if (key.child != nullptr) out += "\n" + chapter(*key.child);
  }
  return out;
}

}  // namespace

std::string json_schema() {
  return R"({"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "pgbalancer cluster file", )" +
         object_schema(cluster_keys(), "") + "}\n";
}

std::string pool_chapter() { return chapter(pool_keys()); }

std::string reference_page() {
  std::string out =
      "# The cluster file\n\nOne JSON file describes a cluster. `{\"cluster_name\": \"demo\"}` is a whole one; every "
      "other key has a\n"
      "default. Unknown keys are mistakes. `${…}` is not replaced. This page is printed from the table that "
      "validates.\n\n";
  out += chapter(cluster_keys());
  out +=
      "\n## dcs\n\n`{\"etcd\": [\"https://10.0.0.5:2379\"], …}` keeps the leader leases in an etcd cluster of yours. "
      "Beside its addresses may stand:\n\n"
      "- `ca_file`: authorities (PEM) that vouch for its certificates, relative to the cluster file; without, the "
      "system's\n"
      "- `cert_file`, `key_file`: certificate and key (PEM) that agents and manager show to it; with `user`, one "
      "without a common name (CN), which etcd refuses there\n"
      "- `user`, `password`: who they are there; the password a text, `{\"env\": name}` or `{\"file\": path}`\n\n"
      "`init` reads them; where one was renewed, `stop`, then `init` takes it up.\n";
  out +=
      "\n## postgres.parameters\n\nValues are texts, numbers, true or false. Every server gets these unless the file "
      "says otherwise:\n\n";
  for (const auto& [name, value] : default_parameters())
    out += "- `" + std::string(name) + " = " + std::string(value) + "`\n";
  out +=
      "\nA replica that has fallen silent, frozen or cut off, counts as streaming for `wal_sender_timeout`. A restart "
      "of "
      "the primary waits as long for it, a planned switchover for a second and a half, while writes go on.\n";
  out +=
      "\nAnd, where agents choose the primary, by the disk of each server: `max_slot_wal_keep_size`, the WAL that a "
      "primary keeps for replicas that are "
      "away, is half of what is free where its `pg_wal` lies, the WAL that is there counted as free, from 64MB to "
      "64GB. The primary looks every ten seconds; `SHOW max_slot_wal_keep_size` there says what it is now. A replica "
      "that "
      "misses more gets a full copy. With `\"failover\": false` it is 1GB.\n";
  out += "\nThese cannot be set:\n\n";
  for (const auto& [name, why] : owned_parameters()) out += "- `" + std::string(name) + "`: " + std::string(why) + "\n";
  return out;
}

}  // namespace pgb::model
