#include "sql/classify.h"

#include <pg_query.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <set>

#include "sql/functions.h"
#include "sql/hints.h"

namespace pgb::sql {
namespace {

using Json = nlohmann::json;
using Kind = Effect::Kind;

// What a query may be made of and still be nothing but a query. Whatever is not here is for the primary.
constexpr std::array<std::string_view, 60> kQueryNodes = {"SelectStmt",
                                                          "ResTarget",
                                                          "ColumnRef",
                                                          "A_Star",
                                                          "A_Const",
                                                          "Integer",
                                                          "Float",
                                                          "String",
                                                          "Boolean",
                                                          "BitString",
                                                          "A_Expr",
                                                          "BoolExpr",
                                                          "NullTest",
                                                          "BooleanTest",
                                                          "CaseExpr",
                                                          "CaseWhen",
                                                          "CoalesceExpr",
                                                          "MinMaxExpr",
                                                          "SQLValueFunction",
                                                          "SubLink",
                                                          "A_ArrayExpr",
                                                          "A_Indirection",
                                                          "A_Indices",
                                                          "RowExpr",
                                                          "TypeCast",
                                                          "TypeName",
                                                          "CollateClause",
                                                          "ParamRef",
                                                          "FuncCall",
                                                          "WindowDef",
                                                          "SortBy",
                                                          "GroupingSet",
                                                          "GroupingFunc",
                                                          "RangeVar",
                                                          "RangeSubselect",
                                                          "RangeFunction",
                                                          "RangeTableSample",
                                                          "RangeTableFunc",
                                                          "RangeTableFuncCol",
                                                          "JoinExpr",
                                                          "Alias",
                                                          "WithClause",
                                                          "CommonTableExpr",
                                                          "CTESearchClause",
                                                          "CTECycleClause",
                                                          "List",
                                                          "XmlExpr",
                                                          "XmlSerialize",
                                                          "NamedArgExpr",
                                                          "Null",
                                                          "LockingClause",
                                                          "IntoClause",
                                                          "DefElem",
                                                          "A_Const_",
                                                          "ColumnDef",
                                                          "RangeTblRef",
                                                          "FromExpr",
                                                          "Var",
                                                          "Const",
                                                          "Node"};

std::string string_of(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

bool flag_of(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_boolean() && found->get<bool>();
}

// The text of a constant, as one could write it in SET; nothing if it is none.
bool constant(const Json& node, std::string& out) {
  if (!node.is_object() || node.empty()) return false;
  if (const auto cast = node.find("TypeCast"); cast != node.end()) {
    return cast->contains("arg") && constant((*cast)["arg"], out);
  }
  if (const auto text = node.find("String"); text != node.end()) {
    out = string_of(*text, "sval");
    return true;
  }
  const auto found = node.find("A_Const");
  if (found == node.end()) return false;
  const Json& value = *found;
  if (value.contains("isnull")) return false;
  if (value.contains("sval")) return out = string_of(value["sval"], "sval"), true;
  if (value.contains("fval")) return out = string_of(value["fval"], "fval"), true;
  if (value.contains("boolval")) return out = flag_of(value["boolval"], "boolval") ? "on" : "off", true;
  if (!value.contains("ival")) return false;
  const auto number = value["ival"].find("ival");
  out = number == value["ival"].end() ? "0" : number->dump();
  return true;
}

std::string dotted(const Json& names) {
  std::string out;
  for (const Json& part : names) {
    if (!part.contains("String")) return out;
    out += (out.empty() ? "" : ".") + string_of(part["String"], "sval");
  }
  return out;
}

// Reads one statement into a verdict.
class Reader {
 public:
  explicit Reader(Verdict& verdict) : verdict_(verdict) {}

  void statement(const std::string& type, const Json& body) {
    if (type == "SelectStmt") {
      query(body, type);
    } else if (type == "ExplainStmt") {
      explain(body);
    } else if (type == "CopyStmt") {
      copy(body);
    } else if (type == "TransactionStmt") {
      transaction(body);
    } else if (type == "VariableSetStmt") {
      set(body);
    } else if (type == "DeclareCursorStmt") {
      declare(body);
    } else {
      other(type, body);
    }
  }

  bool read() const { return doubt_.empty(); }
  const std::string& doubt() const { return doubt_; }
  std::set<std::string> functions, operators, relations;

 private:
  void no(std::string why) {
    if (doubt_.empty()) doubt_ = std::move(why);
  }
  void effect(Kind kind, std::string name = {}, std::string value = {}, bool local = false) {
    verdict_.effects.push_back({kind, std::move(name), std::move(value), local});
  }

  void query(const Json& body, const std::string& type) {
    is_query_ = true;
    visit_node(type, body);
  }

  void explain(const Json& body) {
    if (!body.contains("query") || body["query"].empty()) return no("it is an EXPLAIN");
    const std::string type = body["query"].begin().key();
    if (type != "SelectStmt") {
      no("it explains a statement that is no query");
      return visit(body["query"]);
    }
    query(body["query"]["SelectStmt"], type);
  }

  void copy(const Json& body) {
    const bool elsewhere = body.contains("filename") || flag_of(body, "is_program");
    if (flag_of(body, "is_from")) {
      verdict_.copy_in = !elsewhere;
      return no("COPY FROM writes");
    }
    if (elsewhere) return no("COPY TO a file or program works on the server's machine");
    is_query_ = true;
    if (body.contains("query")) {
      if (!body["query"].contains("SelectStmt")) no("it writes");
      visit(body["query"]);
    } else if (body.contains("relation")) {
      relation(body["relation"]);
    }
  }

  void transaction(const Json& body) {
    const std::string kind = string_of(body, "kind");
    verdict_.transaction = Transaction::kSavepoint;
    if (kind == "TRANS_STMT_BEGIN" || kind == "TRANS_STMT_START") {
      begin(body);
      no("a transaction that may write begins");
    } else if (kind == "TRANS_STMT_COMMIT") {
      verdict_.transaction = Transaction::kCommit;
    } else if (kind == "TRANS_STMT_ROLLBACK") {
      verdict_.transaction = Transaction::kRollback;
    } else if (kind.find("PREPARE") != std::string::npos) {
      verdict_.transaction = Transaction::kTwoPhase;
    }
    no("it ends or divides a transaction");
  }

  void begin(const Json& body) {
    verdict_.transaction = Transaction::kBegin;
    bool read_only = false, serializable = false;
    for (const Json& option : body.value("options", Json::array())) {
      const Json& item = option["DefElem"];
      std::string value;
      if (item.contains("arg")) constant(item["arg"], value);
      const std::string name = string_of(item, "defname");
      if (name == "transaction_read_only") {
        read_only = value != "0";
        verdict_.transaction = Transaction::kBeginReadWrite;
      }
      if (name == "transaction_isolation") serializable = value == "serializable";
    }
    if (serializable) verdict_.transaction = Transaction::kBeginReadWrite;
    if (!read_only || serializable) return;
    verdict_.transaction = Transaction::kBeginReadOnly;
    read_only_ = true;
  }

  void set(const Json& body) {
    const std::string kind = string_of(body, "kind");
    const std::string name = string_of(body, "name");
    const bool local = flag_of(body, "is_local");
    no("it changes the session");
    if (kind == "VAR_RESET_ALL") return effect(Kind::kResetAll);
    if (name == "session_authorization") return effect(Kind::kSessionUser);
    if (kind == "VAR_SET_MULTI") return effect(Kind::kSetTransaction, name, {}, name != "SESSION CHARACTERISTICS");
    if (kind == "VAR_RESET" || kind == "VAR_SET_DEFAULT") return effect(Kind::kReset, name, {}, local);
    std::string value;
    for (const Json& argument : body.value("args", Json::array())) {
      std::string one;
      constant(argument, one);
      value += (value.empty() ? "" : ", ") + one;
    }
    verdict_.needs_text = true;
    effect(Kind::kSet, name, value, local);
  }

  void declare(const Json& body) {
    constexpr int64_t kHold = 0x20;
    if (body.contains("query")) {
      if (!body["query"].contains("SelectStmt")) no("it declares a cursor over more than a query");
      is_query_ = true;
      visit(body["query"]);
    }
    if ((body.value("options", int64_t{0}) & kHold) == 0) return;
    effect(Kind::kHoldCursor, string_of(body, "portalname"));
    no("it declares a cursor WITH HOLD");
  }

  void other(const std::string& type, const Json& body) {
    static const std::set<std::string> kWrites = {"InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt"};
    const bool writes = kWrites.count(type) != 0;
    if (writes) no("it writes");
    visit(body);  // for what its parts do to the session
    if (type == "VariableShowStmt") return no("it shows the session's state");
    if (type == "FetchStmt" || type == "ClosePortalStmt") return no("it belongs to a transaction's cursor");
    if (type == "PrepareStmt") {
      effect(Kind::kPrepare, string_of(body, "name"));
    } else if (type == "ExecuteStmt") {
      effect(Kind::kUnknown);
    } else if (type == "DeallocateStmt") {
      effect(Kind::kDeallocate, string_of(body, "name"));
    } else if (type == "DiscardStmt") {
      effect(Kind::kDiscard, {}, string_of(body, "target").substr(8));
    } else if (type == "ListenStmt") {
      effect(Kind::kListen, string_of(body, "conditionname"));
    } else if (type == "UnlistenStmt") {
      effect(Kind::kUnlisten, string_of(body, "conditionname"));
    } else if (type == "LoadStmt") {
      effect(Kind::kLoad);
    } else if (type == "DoStmt" || type == "CallStmt") {
      effect(Kind::kUnknown);
      verdict_.changes_catalog = type == "DoStmt";
      return no("a procedure may do anything");
    }
    const bool settings = relations.count("pg_settings") + relations.count("pg_catalog.pg_settings") > 0;
    if (type == "UpdateStmt" && settings) effect(Kind::kUnknown);  // it sets them
    static const std::set<std::string> kNoDdl = {"NotifyStmt", "LockStmt", "VacuumStmt", "CheckPointStmt",
                                                 "ClusterStmt"};
    if (!writes && verdict_.effects.empty() && kNoDdl.count(type) == 0) verdict_.changes_catalog = true;
    no(writes ? "it writes" : "it is no query (" + type.substr(0, type.size() - 4) + ")");
  }

  void visit(const Json& value) {
    if (value.is_array()) {
      for (const Json& item : value) visit(item);
    } else if (value.is_object()) {
      const size_t scope = ctes_.size();
      if (value.contains("withClause")) with_clause(value["withClause"]);
      for (const auto& [key, inner] : value.items()) {
        if (key == "withClause") continue;
        const bool node = !key.empty() && key[0] >= 'A' && key[0] <= 'Z';
        if (node) {
          visit_node(key, inner);
        } else {
          visit_field(key, inner);
        }
      }
      if (value.contains("relname")) relation(value);
      ctes_.resize(scope);
    }
  }

  // A common table expression hides a table of its name from what follows it in this query; from itself only when
  // the clause is RECURSIVE.
  void with_clause(const Json& clause) {
    const Json expressions = clause.value("ctes", Json::array());
    const auto name_of = [](const Json& item) {
      return item.contains("CommonTableExpr") ? string_of(item["CommonTableExpr"], "ctename") : std::string();
    };
    const bool recursive = flag_of(clause, "recursive");
    for (const Json& item : expressions) {
      if (recursive) ctes_.push_back(name_of(item));
    }
    for (const Json& item : expressions) {
      visit(item);
      if (!recursive) ctes_.push_back(name_of(item));
    }
  }

  void visit_node(const std::string& type, const Json& body) {
    if (std::find(kQueryNodes.begin(), kQueryNodes.end(), type) == kQueryNodes.end()) {
      static const std::set<std::string> kWrites = {"InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt"};
      no(kWrites.count(type) != 0 ? "a part of it writes" : "it has a part that is no query (" + type + ")");
    }
    if (type == "FuncCall") function(body);
    if (type == "A_Expr" && body.contains("name")) operators.insert(last_name(body["name"]));
    if (type == "SubLink" && body.contains("operName")) operators.insert(last_name(body["operName"]));
    if (type == "SortBy" && body.contains("useOp")) operators.insert(last_name(body["useOp"]));
    visit(body);
  }

  void visit_field(const std::string& key, const Json& value) {
    if (key == "lockingClause") no("it locks rows (FOR UPDATE, FOR SHARE)");
    if (key == "intoClause") no("SELECT INTO makes a table");
    if (key == "relpersistence" && value == "t") temporary("a temporary table");
    if (key == "schemaname" && is_temp_schema(value)) temporary("a name in pg_temp");
    if (key == "sval" && is_temp_schema(value)) temporary("a name in pg_temp");
    visit(value);
  }

  static bool is_temp_schema(const Json& value) {
    return value.is_string() && value.get_ref<const std::string&>().rfind("pg_temp", 0) == 0;
  }

  void temporary(const char* what) {
    no(std::string("it names ") + what);
    for (const Effect& known : verdict_.effects) {
      if (known.kind == Kind::kTempObject) return;
    }
    effect(Kind::kTempObject);
  }

  void relation(const Json& range) {
    const std::string name = string_of(range, "relname"), schema = string_of(range, "schemaname");
    if (schema.empty() && std::find(ctes_.begin(), ctes_.end(), name) != ctes_.end()) return;
    if ((schema.empty() || schema == "pg_catalog") && is_node_local_relation(name)) {
      no(name + " is about one server");
    }
    relations.insert(schema.empty() ? name : schema + "." + name);
  }

  static std::string last_name(const Json& names) {
    const std::string whole = dotted(names);
    return whole.substr(names.size() > 1 ? whole.find('.') + 1 : 0);
  }

  void function(const Json& call) {
    if (!call.contains("funcname")) return no("it calls a function that has no name");
    const std::string name = dotted(call["funcname"]);
    std::string_view base = name;
    if (base.rfind("pg_catalog.", 0) == 0) base.remove_prefix(11);
    const bool own_schema = base.find('.') != std::string_view::npos;
    switch (own_schema ? FunctionKind::kOther : kind_of_function(base)) {
      case FunctionKind::kOther:
      case FunctionKind::kHarmless: functions.insert(std::string(own_schema ? name : std::string(base))); return;
      case FunctionKind::kWrites: return no(name + "() writes");
      case FunctionKind::kNodeLocal: return no(name + "() is about one server");
      case FunctionKind::kSessionLock: effect(Kind::kSessionLock); return no(name + "() locks");
      case FunctionKind::kSessionUnlock: effect(Kind::kSessionLock); return no(name + "() unlocks");
      case FunctionKind::kTransactionLock: return no(name + "() locks");
      case FunctionKind::kSequenceState: effect(Kind::kSequenceState); return no(name + "() asks the session");
      case FunctionKind::kSetConfig: return set_config(call);
      case FunctionKind::kRunsText: return no(name + "() runs SQL that is in a text");
    }
  }

  void set_config(const Json& call) {
    no("set_config() changes the session");
    verdict_.needs_text = true;
    std::string name, value, local;
    const Json arguments = call.value("args", Json::array());
    if (arguments.size() != 3 || !constant(arguments[0], name) || !constant(arguments[2], local)) {
      return effect(Kind::kUnknown);
    }
    constant(arguments[1], value);
    effect(Kind::kSet, name, value, local == "on" || local == "true" || local == "t");
  }

  Verdict& verdict_;
  std::string doubt_;              // why it is not a read; empty: it is
  std::vector<std::string> ctes_;  // names that hide tables where we are
  bool is_query_ = false;
  bool read_only_ = false;

 public:
  bool is_query() const { return is_query_; }
  bool begins_read_only() const { return read_only_; }
};

void refuse(Verdict& verdict, std::string why) {
  verdict.read = false;
  verdict.reason = std::move(why);
  verdict.effects.push_back({});
}

void read_tree(Verdict& verdict, const Json& tree) {
  std::set<std::string> functions, operators, relations;
  bool all_read = true, control = false;
  const Json statements = tree.value("stmts", Json::array());
  verdict.statements = static_cast<unsigned>(statements.size());
  for (const Json& item : statements) {
    if (!item.contains("stmt") || item["stmt"].empty()) continue;
    const Transaction before = verdict.transaction;
    verdict.transaction = Transaction::kNone;
    Reader reader(verdict);
    reader.statement(item["stmt"].begin().key(), item["stmt"].begin().value());
    if (verdict.transaction == Transaction::kNone) verdict.transaction = before;
    control = control || verdict.transaction != Transaction::kNone;
    functions.merge(reader.functions);
    operators.merge(reader.operators);
    relations.merge(reader.relations);
    const bool alone = statements.size() == 1;
    if (alone && reader.begins_read_only()) {
      verdict.read = true;
      verdict.reason = "the transaction is READ ONLY";
      return;
    }
    if (reader.read() && reader.is_query()) continue;
    if (all_read) verdict.reason = reader.read() ? "it is no query" : reader.doubt();
    all_read = false;
  }
  verdict.read = all_read && !control && verdict.statements > 0;
  if (verdict.statements == 0) verdict.reason = "it is empty";
  if (!verdict.read) return;
  verdict.reason = "it only reads";
  verdict.functions.assign(functions.begin(), functions.end());
  verdict.operators.assign(operators.begin(), operators.end());
  verdict.relations.assign(relations.begin(), relations.end());
}

void apply_hints(Verdict& verdict, std::string_view text) {
  const Hint hint = find_hint(text);
  verdict.hint_primary = hint == Hint::kPrimary;
  verdict.hint_replica = hint == Hint::kReplica;
  if (!verdict.hint_primary || !verdict.read) return;
  verdict.read = false;
  verdict.reason = "a comment asks for the primary";
}

}  // namespace

Verdict classify(std::string_view text) {
  Verdict verdict;
  if (text.size() > kMaxText) {
    refuse(verdict, "the text is too long to be looked into");
    return verdict;
  }
  if (text.find('\0') != std::string_view::npos) {
    refuse(verdict, "the text has a zero byte in it");
    return verdict;
  }
  const std::string copy(text);
  PgQueryParseResult parsed = pg_query_parse(copy.c_str());
  Json tree;
  if (parsed.error == nullptr && parsed.parse_tree != nullptr) tree = Json::parse(parsed.parse_tree, nullptr, false);
  pg_query_free_parse_result(parsed);
  if (!tree.is_object()) {
    refuse(verdict, "it does not parse");
    return verdict;
  }
  verdict.parsed = true;
  read_tree(verdict, tree);
  apply_hints(verdict, text);
  return verdict;
}

}  // namespace pgb::sql
