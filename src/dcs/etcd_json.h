// Inside dcs only: the messages of etcd's v3 JSON gateway, both ways. Numbers of 64 bits are strings there, keys and
// values base64, and what is zero or empty may be absent. Readers never throw.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "dcs/dcs.h"

namespace pgb::dcs {

using Json = nlohmann::json;

Json parse_json(std::string_view text);  // "discarded" if it is none

// A number or a string of one; 0 if absent; kProtocol for anything else.
Result<int64_t> read_number(const Json& object, const char* name);
// Decoded; empty if absent; kProtocol for anything else.
Result<std::string> read_bytes(const Json& object, const char* name);
// Null if absent or no array or object.
const Json& member(const Json& object, const char* name);
bool read_flag(const Json& object, const char* name);

Json write_range(const Range& range);
Result<Range> read_range(const Json& object);  // kProtocol for ranges that are neither a key nor a prefix
Json write_kv(const KeyValue& kv);
Result<KeyValue> read_kv(const Json& object);
Json write_txn(const Txn& txn);
Result<Txn> read_txn(const Json& object);
Json write_op_result(const Op& op, const OpResult& result, const Json& header);
Result<OpResult> read_op_result(const Json& object);
Json write_event(const Event& event);
Result<Event> read_event(const Json& object);
Result<Revision> read_revision(const Json& object);  // of the answer's header

}  // namespace pgb::dcs
