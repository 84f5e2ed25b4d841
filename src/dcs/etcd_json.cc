#include "dcs/etcd_json.h"

#include <array>
#include <utility>

#include "base/strings.h"
#include "dcs/base64.h"

namespace pgb::dcs {
namespace {

const Json kNull;

constexpr std::array<std::pair<Compare::Field, const char*>, 5> kFields = {{
    {Compare::Field::kVersion, "VERSION"},
    {Compare::Field::kCreateRevision, "CREATE"},
    {Compare::Field::kModRevision, "MOD"},
    {Compare::Field::kValue, "VALUE"},
    {Compare::Field::kLease, "LEASE"},
}};
constexpr std::array<std::pair<Compare::Relation, const char*>, 4> kRelations = {{
    {Compare::Relation::kEqual, "EQUAL"},
    {Compare::Relation::kGreater, "GREATER"},
    {Compare::Relation::kLess, "LESS"},
    {Compare::Relation::kNotEqual, "NOT_EQUAL"},
}};
// In the order of kFields.
constexpr std::array<const char*, 5> kOperands = {"version", "create_revision", "mod_revision", "value", "lease"};

// The protocol's first name is its default.
template <class Table>
Result<size_t> row_named(const Table& table, const Json& object, const char* name) {
  const Json& text = member(object, name);
  if (text.is_null()) return size_t{0};
  for (size_t i = 0; i < table.size(); ++i) {
    if (text == table[i].second) return i;
  }
  return Error(Code::kProtocol, std::string(name) + " has an unknown value");
}

template <class Table, class Value>
size_t row_of(const Table& table, Value value) {
  size_t i = 0;
  while (i + 1 < table.size() && table[i].first != value) ++i;
  return i;
}

Json write_compare(const Compare& compare) {
  const size_t field = row_of(kFields, compare.field);
  Json json = {{"key", to_base64(compare.key)},
               {"target", kFields[field].second},
               {"result", kRelations[row_of(kRelations, compare.relation)].second}};
  if (compare.field == Compare::Field::kValue) {
    json["value"] = to_base64(compare.value);
  } else {
    json[kOperands[field]] = std::to_string(compare.number);
  }
  return json;
}

Result<Compare> read_compare(const Json& object) {
  Compare compare;
  auto key = read_bytes(object, "key");
  auto field = row_named(kFields, object, "target");
  auto relation = row_named(kRelations, object, "result");
  for (const Error* error :
       {key ? nullptr : &key.error(), field ? nullptr : &field.error(), relation ? nullptr : &relation.error()}) {
    if (error != nullptr) return *error;
  }
  compare.key = *key;
  compare.field = kFields[*field].first;
  compare.relation = kRelations[*relation].first;
  if (compare.field == Compare::Field::kValue) {
    auto value = read_bytes(object, "value");
    if (!value) return std::move(value).error();
    compare.value = *value;
    return compare;
  }
  auto number = read_number(object, kOperands[*field]);
  if (!number) return std::move(number).error();
  compare.number = *number;
  return compare;
}

Json write_op(const Op& op) {
  if (op.kind == Op::Kind::kGet) return {{"request_range", write_range(op.range)}};
  if (op.kind == Op::Kind::kDelete) return {{"request_delete_range", write_range(op.range)}};
  return {{"request_put",
           {{"key", to_base64(op.range.key)}, {"value", to_base64(op.value)}, {"lease", std::to_string(op.lease)}}}};
}

Result<Op> read_op(const Json& object) {
  const Json& get = member(object, "request_range");
  const Json& remove = member(object, "request_delete_range");
  if (get.is_object() || remove.is_object()) {
    auto range = read_range(get.is_object() ? get : remove);
    if (!range) return std::move(range).error();
    return get.is_object() ? Op::get(std::move(*range)) : Op::remove(std::move(*range));
  }
  const Json& put = member(object, "request_put");
  if (!put.is_object()) return Error(Code::kProtocol, "an operation is no put, range or delete");
  auto key = read_bytes(put, "key");
  if (!key) return std::move(key).error();
  auto value = read_bytes(put, "value");
  if (!value) return std::move(value).error();
  auto lease = read_number(put, "lease");
  if (!lease) return std::move(lease).error();
  return Op::put(std::move(*key), std::move(*value), *lease);
}

Result<std::vector<Op>> read_ops(const Json& list) {
  std::vector<Op> ops;
  for (const Json& item : list) {
    auto op = read_op(item);
    if (!op) return std::move(op).error();
    ops.push_back(std::move(*op));
  }
  return ops;
}

Json write_ops(const std::vector<Op>& ops) {
  Json list = Json::array();
  for (const Op& op : ops) list.push_back(write_op(op));
  return list;
}

}  // namespace

Json parse_json(std::string_view text) { return Json::parse(text, nullptr, false); }

const Json& member(const Json& object, const char* name) {
  if (!object.is_object()) return kNull;
  const auto found = object.find(name);
  return found == object.end() ? kNull : *found;
}

bool read_flag(const Json& object, const char* name) {
  const Json& value = member(object, name);
  return value.is_boolean() && value.get<bool>();
}

Result<int64_t> read_number(const Json& object, const char* name) {
  const Json& value = member(object, name);
  if (value.is_null()) return int64_t{0};
  if (value.is_number_unsigned()) return static_cast<int64_t>(value.get<uint64_t>());
  if (value.is_number_integer()) return value.get<int64_t>();
  if (value.is_string()) {
    const auto number = parse_u64(value.get_ref<const std::string&>());
    if (number && *number <= INT64_MAX) return static_cast<int64_t>(*number);
  }
  return Error(Code::kProtocol, std::string(name) + " is no number");
}

Result<std::string> read_bytes(const Json& object, const char* name) {
  const Json& value = member(object, name);
  if (value.is_null()) return std::string();
  if (value.is_string()) {
    if (auto bytes = from_base64(value.get_ref<const std::string&>())) return std::move(*bytes);
  }
  return Error(Code::kProtocol, std::string(name) + " is no base64");
}

Json write_range(const Range& range) {
  if (!range.prefix) return {{"key", to_base64(range.key)}};
  const std::string from = range.key.empty() ? std::string(1, '\0') : range.key;
  return {{"key", to_base64(from)}, {"range_end", to_base64(prefix_end(range.key))}};
}

Result<Range> read_range(const Json& object) {
  auto key = read_bytes(object, "key");
  if (!key) return std::move(key).error();
  auto end = read_bytes(object, "range_end");
  if (!end) return std::move(end).error();
  if (end->empty()) return Range{std::move(*key), false};
  const std::string nothing(1, '\0');
  if (*end == nothing && (key->empty() || *key == nothing)) return Range{"", true};
  if (*end != prefix_end(*key))
    return Error(Code::kProtocol, "this store knows single keys and prefixes, not other ranges");
  return Range{std::move(*key), true};
}

Json write_kv(const KeyValue& kv) {
  Json json = {{"key", to_base64(kv.key)}, {"mod_revision", std::to_string(kv.mod_revision)}};
  if (kv.version == 0) return json;  // of a deletion
  json["value"] = to_base64(kv.value);
  json["create_revision"] = std::to_string(kv.create_revision);
  json["version"] = std::to_string(kv.version);
  if (kv.lease != 0) json["lease"] = std::to_string(kv.lease);
  return json;
}

Result<KeyValue> read_kv(const Json& object) {
  KeyValue kv;
  auto key = read_bytes(object, "key");
  if (!key) return std::move(key).error();
  auto value = read_bytes(object, "value");
  if (!value) return std::move(value).error();
  kv.key = std::move(*key);
  kv.value = std::move(*value);
  for (const auto& [name, field] : {std::pair<const char*, int64_t*>{"create_revision", &kv.create_revision},
                                    {"mod_revision", &kv.mod_revision},
                                    {"version", &kv.version},
                                    {"lease", &kv.lease}}) {
    auto number = read_number(object, name);
    if (!number) return std::move(number).error();
    *field = *number;
  }
  return kv;
}

Json write_txn(const Txn& txn) {
  Json compares = Json::array();
  for (const Compare& compare : txn.when) compares.push_back(write_compare(compare));
  return {{"compare", std::move(compares)}, {"success", write_ops(txn.then)}, {"failure", write_ops(txn.otherwise)}};
}

Result<Txn> read_txn(const Json& object) {
  Txn txn;
  for (const Json& item : member(object, "compare")) {
    auto compare = read_compare(item);
    if (!compare) return std::move(compare).error();
    txn.when.push_back(std::move(*compare));
  }
  auto then = read_ops(member(object, "success"));
  if (!then) return std::move(then).error();
  auto otherwise = read_ops(member(object, "failure"));
  if (!otherwise) return std::move(otherwise).error();
  txn.then = std::move(*then);
  txn.otherwise = std::move(*otherwise);
  return txn;
}

Json write_op_result(const Op& op, const OpResult& result, const Json& header) {
  if (op.kind == Op::Kind::kPut) return {{"response_put", {{"header", header}}}};
  if (op.kind == Op::Kind::kDelete) {
    return {{"response_delete_range", {{"header", header}, {"deleted", std::to_string(result.deleted)}}}};
  }
  Json kvs = Json::array();
  for (const KeyValue& kv : result.kvs) kvs.push_back(write_kv(kv));
  return {{"response_range", {{"header", header}, {"count", std::to_string(kvs.size())}, {"kvs", std::move(kvs)}}}};
}

Result<OpResult> read_op_result(const Json& object) {
  OpResult result;
  auto deleted = read_number(member(object, "response_delete_range"), "deleted");
  if (!deleted) return std::move(deleted).error();
  result.deleted = *deleted;
  for (const Json& item : member(member(object, "response_range"), "kvs")) {
    auto kv = read_kv(item);
    if (!kv) return std::move(kv).error();
    result.kvs.push_back(std::move(*kv));
  }
  return result;
}

Json write_event(const Event& event) {
  Json json = {{"kv", write_kv(event.kv)}};
  if (event.kind == Event::Kind::kDelete) json["type"] = "DELETE";
  return json;
}

Result<Event> read_event(const Json& object) {
  auto kv = read_kv(member(object, "kv"));
  if (!kv) return std::move(kv).error();
  return Event{member(object, "type") == "DELETE" ? Event::Kind::kDelete : Event::Kind::kPut, std::move(*kv)};
}

Result<Revision> read_revision(const Json& object) { return read_number(member(object, "header"), "revision"); }

}  // namespace pgb::dcs
