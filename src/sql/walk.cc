#include "sql/walk.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "sql/functions.h"

namespace pgb::sql {
namespace {

using Kind = Effect::Kind;

// What a query may be made of and still be nothing but a query; sorted. Whatever is not here is for the primary.
constexpr std::array<std::string_view, 50> kQueryNodes = {
    "A_ArrayExpr",     "A_Const",         "A_Expr",         "A_Indices",        "A_Indirection",     "A_Star",
    "Alias",           "BitString",       "BoolExpr",       "Boolean",          "BooleanTest",       "CTECycleClause",
    "CTESearchClause", "CaseExpr",        "CaseWhen",       "CoalesceExpr",     "CollateClause",     "ColumnDef",
    "ColumnRef",       "CommonTableExpr", "Float",          "FuncCall",         "GroupingFunc",      "GroupingSet",
    "Integer",         "JoinExpr",        "List",           "MinMaxExpr",       "NamedArgExpr",      "NullTest",
    "ParamRef",        "RangeFunction",   "RangeSubselect", "RangeTableFunc",   "RangeTableFuncCol", "RangeTableSample",
    "RangeVar",        "ResTarget",       "RowExpr",        "SQLValueFunction", "SelectStmt",        "SortBy",
    "String",          "SubLink",         "TypeCast",       "TypeName",         "WindowDef",         "WithClause",
    "XmlExpr",         "XmlSerialize"};

bool is_query_node(std::string_view type) { return std::binary_search(kQueryNodes.begin(), kQueryNodes.end(), type); }

bool writes(std::string_view type) {
  return type == "InsertStmt" || type == "UpdateStmt" || type == "DeleteStmt" || type == "MergeStmt";
}

bool is_temp_schema(std::string_view name) { return name.substr(0, 7) == "pg_temp"; }

std::string without(std::string_view prefix, const std::string& name) {
  return name.compare(0, prefix.size(), prefix) == 0 ? name.substr(prefix.size()) : name;
}

}  // namespace

void Walk::refuse(std::string why) {
  more_than_effects_ = true;
  if (refusal_.empty()) refusal_ = std::move(why);
}

void Walk::only_effect(std::string why) {
  if (refusal_.empty()) refusal_ = std::move(why);
}

void Walk::local(std::string why) {
  if (local_.empty()) local_ = std::move(why);
}

void Walk::effect(Kind kind, std::string name, std::string value, bool is_local) {
  if (!runs_ && kind != Kind::kTempObject) return;
  Effect made{kind, std::move(name), std::move(value), is_local};
  const auto since = effects_.begin() + static_cast<std::ptrdiff_t>(before_);
  if (std::find(since, effects_.end(), made) == effects_.end()) effects_.push_back(std::move(made));
}

void Walk::temporary(const char* what) {
  if (refusal_.rfind("it is no query", 0) == 0) refusal_.clear();  // this says more
  refuse(std::string("it names ") + what);
  effect(Kind::kTempObject);
}

void Walk::finish() {
  const auto since = effects_.begin() + static_cast<std::ptrdiff_t>(before_);
  const bool more = more_than_effects_ || !functions.empty();
  if (runs_ && more && since != effects_.end() && std::all_of(since, effects_.end(), is_session_state)) {
    effect(Kind::kUnknown);
  }
}

void Walk::query(const std::string& type, const Json& body) {
  // SELECT set_config(…): with nothing that could leave the call out or repeat it.
  const bool plain = type == "SelectStmt" && body.size() == 3 && body.contains("targetList") &&
                     string_of(body, "op") == "SETOP_NONE" && string_of(body, "limitOption") == "LIMIT_OPTION_DEFAULT";
  if (plain) {
    for (const Json& target : body["targetList"]) {
      const Json* result = child(target, "ResTarget");
      const Json* value = result == nullptr ? nullptr : child(*result, "val");
      const Json* call = value == nullptr ? nullptr : child(*value, "FuncCall");
      if (call != nullptr) sure_calls_.push_back(call);
    }
  }
  node(type, body);
}

void Walk::all(const Json& value) { visit(value); }

void Walk::visit(const Json& value) {
  if (value.is_array()) {
    for (const Json& item : value) visit(item);
    return;
  }
  if (!value.is_object()) return;
  if (value.contains("relname")) return relation(value);
  for (const auto& [key, inner] : value.items()) {
    if (!key.empty() && key[0] >= 'A' && key[0] <= 'Z') {
      node(key, inner);
    } else {
      field(key, inner);
    }
  }
}

void Walk::node(const std::string& type, const Json& body) {
  if (type == "A_Const") return;
  if (type == "SelectStmt") return select(body);
  if (type == "FuncCall") return function(body);
  if (type == "RangeVar") return relation(body);
  if (type == "TypeName") return type_name(body);
  if (type == "String") {
    if (is_temp_schema(string_of(body, "sval"))) temporary("something in pg_temp");
    return;
  }
  if (!is_query_node(type)) {
    writes_rows = writes_rows || (runs_ && writes(type));
    refuse(writes(type) ? "a part of it writes" : "it has a part that is no query (" + type + ")");
  }
  if (type == "ColumnRef") {
    if (const Json* fields = child(body, "fields")) column(*fields, 1);
    return;
  }
  if (type == "A_Indirection") {
    if (const Json* fields = child(body, "indirection")) column(*fields, 0);
  }
  if (type == "RangeTableSample") sample(body);
  operators_of(type, body);
  visit(body);
}

void Walk::field(const std::string& key, const Json& value) {
  if (key == "name" || key == "operName" || key == "useOp" || key == "location") return;
  if (key == "lockingClause") return refuse("it locks rows (FOR UPDATE, FOR SHARE)");
  if (key == "intoClause") refuse("SELECT INTO makes a table");
  if (key == "typeName") return type_name(value);
  visit(value);
}

void Walk::select(const Json& body) {
  const size_t outside = ctes_.size();
  if (const Json* clause = child(body, "withClause")) with(*clause);
  for (const auto& [key, value] : body.items()) {
    if (key == "withClause") continue;
    if (key == "larg" || key == "rarg") {
      select(value);
    } else {
      field(key, value);
    }
  }
  ctes_.resize(outside);
}

void Walk::with(const Json& clause) {
  const Json* ctes = child(clause, "ctes");
  if (ctes == nullptr) return;
  const bool recursive = flag_of(clause, "recursive");
  const auto name_of = [](const Json& cte) {
    const Json* body = child(cte, "CommonTableExpr");
    return body == nullptr ? std::string() : string_of(*body, "ctename");
  };
  if (recursive) {
    for (const Json& cte : *ctes) ctes_.push_back(name_of(cte));
  }
  for (const Json& cte : *ctes) {
    visit(cte);
    if (!recursive) ctes_.push_back(name_of(cte));
  }
}

void Walk::add_operator(const Json* names) {
  std::string name;
  if (names == nullptr) return;
  if (!dotted(*names, name)) return refuse("it has an operator that is not understood");
  name.erase(0, name.rfind('.') + 1);
  // The grammar turns "- 1" into a number and "- 'x'" or "- (1, 2)" into a call: decide() always asks for this one.
  if (name != "-") operators.insert(name);
}

// Operators, also those that are not written as such.
void Walk::operators_of(const std::string& type, const Json& body) {
  if (type == "A_Expr") {
    if (string_of(body, "kind").find("BETWEEN") != std::string::npos) {
      operators.insert({">=", "<="});
    } else {
      add_operator(child(body, "name"));
    }
  } else if (type == "SubLink") {
    add_operator(child(body, "operName"));
    if (body.contains("testexpr") && !body.contains("operName")) operators.insert("=");
  } else if (type == "SortBy") {
    add_operator(child(body, "useOp"));
  } else if ((type == "CaseExpr" && body.contains("arg")) || body.contains("usingClause") ||
             flag_of(body, "isNatural")) {
    operators.insert("=");
  }
}

void Walk::relation(const Json& range) {
  const std::string name = string_of(range, "relname"), schema = string_of(range, "schemaname");
  if (string_of(range, "relpersistence") == "t") return temporary("a temporary table");
  if (is_temp_schema(schema)) return temporary("something in pg_temp");
  if (schema.empty() && std::find(ctes_.begin(), ctes_.end(), name) != ctes_.end()) return;
  if (is_node_local_relation(name)) local(name + " is about one server");
  if ((name + schema).find('.') != std::string::npos) return refuse("it names a relation with a dot in its name");
  relations.insert(schema.empty() ? name : schema + "." + name);
}

void Walk::type_name(const Json& type) {
  const Json* names = child(type, "names");
  std::string name;
  if (names == nullptr || !dotted(*names, name)) return refuse("it names a type that is not understood");
  if (is_temp_schema(name)) return temporary("something in pg_temp");
  types.insert(without("pg_catalog.", name));
}

void Walk::column(const Json& fields, size_t first) {
  for (size_t i = first; i < fields.size(); ++i) {
    if (const Json* string = child(fields[i], "String")) attributes.insert(string_of(*string, "sval"));
  }
}

void Walk::sample(const Json& body) {
  const Json* method = child(body, "method");
  std::string name;
  if (method == nullptr || !dotted(*method, name)) return refuse("it samples in a way that is not understood");
  name = without("pg_catalog.", name);
  if (name != "system" && name != "bernoulli") functions.insert(name);
}

void Walk::function(const Json& call) {
  std::string name;
  const Json* names = child(call, "funcname");
  if (names == nullptr || !dotted(*names, name)) {
    acts = true;
    refuse("it calls a function whose name is not understood");
  } else if (is_temp_schema(name)) {
    acts = true;
    temporary("something in pg_temp");
  } else {
    const std::string base = without("pg_catalog.", name);
    if (base.find('.') == std::string::npos) {
      known_function(name, base, call);
    } else {
      functions.insert(name);
    }
  }
  for (const auto& [key, value] : call.items()) {
    if (key != "funcname") field(key, value);
  }
}

void Walk::known_function(const std::string& name, const std::string& base, const Json& call) {
  const FunctionKind kind = kind_of_function(base);
  const bool draws = base == "nextval" || base == "setval";
  const bool lets_go = base.find("unlock") != std::string::npos;
  acts = acts || (kind == FunctionKind::kWrites && !draws) || kind == FunctionKind::kTransactionLock ||
         (kind == FunctionKind::kSessionLock && !lets_go) || kind == FunctionKind::kSessionState ||
         kind == FunctionKind::kRunsText;
  switch (kind) {
    case FunctionKind::kOther:
    case FunctionKind::kHarmless: functions.insert(base); return;
    case FunctionKind::kWrites: draws_number = draws_number || (runs_ && draws); return refuse(name + "() writes");
    case FunctionKind::kNodeLocal: return local(name + "() is about one server");
    case FunctionKind::kTransactionLock: return refuse(name + "() locks");
    case FunctionKind::kSetConfig: return set_config(call);
    case FunctionKind::kSetting: return setting(name, call);
    case FunctionKind::kSessionLock:
      effect(Kind::kSessionLock);
      return only_effect(name + (name.find("unlock") == std::string::npos ? "() locks" : "() unlocks"));
    case FunctionKind::kSequenceState: effect(Kind::kSequenceState); return only_effect(name + "() asks the session");
    case FunctionKind::kSessionState:
      functions.insert(base);
      effect(Kind::kUnknown);
      return refuse(name + "() writes, or changes the session");
    case FunctionKind::kRunsText: effect(Kind::kUnknown); return refuse(name + "() runs SQL that is in a text");
  }
}

void Walk::set_config(const Json& call) {
  only_effect("set_config() changes the session");
  needs_text = true;
  std::string name, value, is_local;
  const Json* arguments = child(call, "args");
  const bool sure = std::find(sure_calls_.begin(), sure_calls_.end(), &call) != sure_calls_.end();
  const bool understood = sure && arguments != nullptr && arguments->size() == 3 && constant((*arguments)[0], name) &&
                          constant((*arguments)[1], value) && constant((*arguments)[2], is_local);
  std::transform(name.begin(), name.end(), name.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  if (!understood) {
    // Its name alone is worth to be known: no server lists those with a dot.
    if (name.find('.') != std::string::npos) effect(Kind::kSet, name);
    return effect(Kind::kUnknown);
  }
  if (name == "search_path" && value.find("pg_temp") != std::string::npos) effect(Kind::kTempObject);
  if (is_local != "on" && is_local != "off") return effect(Kind::kUnknown);  // 't', 'yes', 1::bool: rare
  effect(Kind::kSet, name, value, is_local == "on");
}

void Walk::setting(const std::string& name, const Json& call) {
  std::string asked;
  const Json* arguments = child(call, "args");
  const bool understood = arguments != nullptr && !arguments->empty() && constant((*arguments)[0], asked);
  if (understood && is_session_setting(asked)) {
    functions.insert("current_setting");
  } else {
    local(name + "() may tell about one server");
  }
}

}  // namespace pgb::sql
