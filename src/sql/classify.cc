#include "sql/classify.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "sql/hints.h"
#include "sql/parse.h"
#include "sql/walk.h"

namespace pgb::sql {
namespace {

using Kind = Effect::Kind;
using TypeSet = std::set<std::string_view>;

const Json* list_of(const Json& body, const char* key) {
  static const Json kNone = Json::array();
  const Json* found = child(body, key);
  return found != nullptr && found->is_array() ? found : &kNone;
}

std::string lower(std::string text) {
  for (char& c : text) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  return text;
}

// What it makes or keeps is run later, if ever.
bool only_defines(const std::string& type) {
  static const TypeSet kTypes = {"PrepareStmt",       "ViewStmt",       "RuleStmt",         "CreateFunctionStmt",
                                 "AlterFunctionStmt", "CreateTrigStmt", "CreatePolicyStmt", "AlterPolicyStmt",
                                 "CreateCastStmt",    "CreateAggStmt",  "DefineStmt",       "CommentStmt"};
  return kTypes.count(type) != 0;
}

// Neither data nor names change.
bool is_no_ddl(const std::string& type) {
  static const TypeSet kTypes = {"InsertStmt",        "UpdateStmt",      "DeleteStmt",       "MergeStmt",
                                 "NotifyStmt",        "LockStmt",        "VacuumStmt",       "CheckPointStmt",
                                 "ClusterStmt",       "ReindexStmt",     "TruncateStmt",     "ConstraintsSetStmt",
                                 "PrepareStmt",       "ExecuteStmt",     "DeallocateStmt",   "DiscardStmt",
                                 "ListenStmt",        "UnlistenStmt",    "LoadStmt",         "CallStmt",
                                 "FetchStmt",         "ClosePortalStmt", "VariableShowStmt", "CopyStmt",
                                 "DeclareCursorStmt", "AlterSystemStmt", "CommentStmt"};
  return kTypes.count(type) != 0;
}

// In a READ ONLY transaction it does the same everywhere: it is about the transaction or the session alone, or it
// writes, which is refused before anything of it is done.
bool is_same_where_nobody_writes(const std::string& type) {
  static const TypeSet kTypes = {"TransactionStmt", "VariableSetStmt", "VariableShowStmt", "FetchStmt",
                                 "ClosePortalStmt", "DeallocateStmt",  "DiscardStmt",      "UnlistenStmt",
                                 "InsertStmt",      "UpdateStmt",      "DeleteStmt",       "MergeStmt",
                                 "TruncateStmt",    "CreateStmt",      "DropStmt",         "AlterTableStmt",
                                 "IndexStmt",       "ViewStmt",        "CreateSeqStmt",    "CreateTableAsStmt"};
  return kTypes.count(type) != 0;
}

// Reads one statement into a verdict.
class Statement {
 public:
  Statement(Verdict& verdict, const std::string& type)
      : walk(verdict.effects, !only_defines(type)), verdict_(verdict) {}

  void read(const std::string& type, const Json& body) {
    fits_read_only_ = is_same_where_nobody_writes(type);
    if (type == "SelectStmt") {
      is_query_ = true;
      walk.query(type, body);
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
    walk.finish();
  }

  bool is_query() const { return is_query_; }
  bool begins_read_only() const { return begins_read_only_; }
  bool fits_read_only() const { return fits_read_only_ || (is_query_ && !walk.acts); }
  Walk walk;

 private:
  void part(const Json* query) {
    std::string type;
    const Json* body = nullptr;
    if (query == nullptr || !unwrap(*query, type, body)) return walk.refuse("it has a part that is not understood");
    is_query_ = type == "SelectStmt";
    if (is_query_) return walk.query(type, *body);
    other(type, *body);
  }

  void explain(const Json& body) {
    const Json* query = child(body, "query");
    if (query != nullptr && !query->contains("SelectStmt")) walk.refuse("it explains a statement that is no query");
    for (const char* write : {"InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt"}) {
      fits_read_only_ = fits_read_only_ || (query != nullptr && query->contains(write));
    }
    const bool wrote = verdict_.writes;
    part(query);
    verdict_.writes = wrote;  // only with ANALYZE
  }

  void copy(const Json& body) {
    const bool elsewhere = body.contains("filename") || flag_of(body, "is_program");
    if (flag_of(body, "is_from")) {
      verdict_.copy_in = !elsewhere;
      walk.refuse("COPY FROM writes");
      verdict_.writes = true;
    } else if (elsewhere) {
      walk.refuse("COPY TO a file or a program works on the server's machine");
    }
    if (body.contains("query")) return part(child(body, "query"));
    is_query_ = true;
    if (const Json* table = child(body, "relation")) walk.all(*table);
    if (const Json* filter = child(body, "whereClause")) walk.all(*filter);
  }

  void transaction(const Json& body) {
    const std::string kind = string_of(body, "kind");
    verdict_.transaction = Transaction::kSavepoint;
    if (kind == "TRANS_STMT_BEGIN" || kind == "TRANS_STMT_START") return begin(body);
    if (kind == "TRANS_STMT_COMMIT") verdict_.transaction = Transaction::kCommit;
    if (kind == "TRANS_STMT_ROLLBACK") verdict_.transaction = Transaction::kRollback;
    if (kind.find("PREPARE") != std::string::npos) verdict_.transaction = Transaction::kTwoPhase;
    walk.refuse("it ends or divides a transaction");
  }

  void begin(const Json& body) {
    bool said = false, read_only = false, serializable = false;
    verdict_.one_snapshot = false;
    for (const Json& option : *list_of(body, "options")) {
      const Json* item = child(option, "DefElem");
      if (item == nullptr) continue;
      std::string value;
      if (const Json* argument = child(*item, "arg")) constant(*argument, value);
      const std::string name = string_of(*item, "defname");
      if (name == "transaction_read_only") {
        said = true;
        read_only = value != "0";
      }
      if (name != "transaction_isolation") continue;
      serializable = serializable || lower(value) == "serializable";
      verdict_.one_snapshot = serializable || lower(value) == "repeatable read";
    }
    begins_read_only_ = read_only && !serializable;
    verdict_.transaction = said || serializable ? Transaction::kBeginReadWrite : Transaction::kBegin;
    if (begins_read_only_) verdict_.transaction = Transaction::kBeginReadOnly;
    walk.refuse("a transaction that may write begins");
  }

  // "ISOLATION LEVEL SERIALIZABLE, READ ONLY"
  static std::string modes(const Json& options) {
    std::string out;
    for (const Json& option : options) {
      std::string value;
      const Json* item = child(option, "DefElem");
      const Json* argument = item == nullptr ? &option : child(*item, "arg");
      if (argument != nullptr) constant(*argument, value);
      const std::string name = item == nullptr ? std::string() : string_of(*item, "defname");
      if (name == "transaction_isolation") value = "ISOLATION LEVEL " + value;
      if (name == "transaction_read_only") value = value == "0" ? "READ WRITE" : "READ ONLY";
      if (name == "transaction_deferrable") value = value == "0" ? "NOT DEFERRABLE" : "DEFERRABLE";
      out += (out.empty() ? "" : ", ") + value;
    }
    return out;
  }

  void set(const Json& body) {
    const std::string kind = string_of(body, "kind"), name = string_of(body, "name");
    const bool local = flag_of(body, "is_local");
    walk.only_effect("it changes the session");
    if (kind == "VAR_RESET_ALL") return effect(Kind::kResetAll);
    if (name == "session_authorization") return effect(Kind::kSessionUser, {}, {}, local);
    if (kind == "VAR_SET_MULTI") {
      const bool session = name == "SESSION CHARACTERISTICS";
      return effect(Kind::kSetTransaction, lower(name), modes(*list_of(body, "args")), !session);
    }
    if (kind == "VAR_RESET" || kind == "VAR_SET_DEFAULT") return effect(Kind::kReset, lower(name), {}, local);
    if (kind != "VAR_SET_VALUE") return effect(Kind::kUnknown);
    std::string value;
    for (const Json& argument : *list_of(body, "args")) {
      std::string one;
      if (argument.contains("TypeCast") || !constant(argument, one)) return effect(Kind::kUnknown);  // INTERVAL '…'
      if (one.find("pg_temp") != std::string::npos) effect(Kind::kTempObject);  // tables may be made there
      value += (value.empty() ? "" : ", ") + one;
    }
    verdict_.needs_text = true;
    effect(Kind::kSet, lower(name), value, local);
  }

  void declare(const Json& body) {
    constexpr int64_t kHold = 0x20;
    part(child(body, "query"));
    const Json* options = child(body, "options");
    if (options == nullptr || !options->is_number_integer() || (options->get<int64_t>() & kHold) == 0) return;
    effect(Kind::kHoldCursor, string_of(body, "portalname"));
    walk.only_effect("it declares a cursor WITH HOLD");
  }

  void other(const std::string& type, const Json& body) {
    is_query_ = false;
    if (!is_no_ddl(type)) verdict_.changes_catalog = true;
    if (type == "VariableShowStmt") {
      verdict_.shows = true;
      return walk.refuse("it shows the session's state");
    }
    if (type == "FetchStmt" || type == "ClosePortalStmt") return walk.refuse("it belongs to a transaction's cursor");
    const std::string stem = type.size() > 4 ? type.substr(0, type.size() - 4) : type;
    if (session_statement(type, body)) return walk.only_effect("it is no query (" + stem + ")");
    if (type == "RefreshMatViewStmt") effect(Kind::kUnknown);  // it runs what the view is made of
    if (type == "DoStmt" || type == "CallStmt" || type == "ExecuteStmt") {
      effect(Kind::kUnknown);
      walk.refuse(type == "ExecuteStmt" ? "it is no query (Execute)" : "a procedure may do anything");
    } else if (type == "InsertStmt" || type == "UpdateStmt" || type == "DeleteStmt" || type == "MergeStmt") {
      walk.refuse("it writes");
      verdict_.writes = walk.writes_rows = true;
    } else {
      verdict_.writes = verdict_.writes || type == "TruncateStmt";
      walk.refuse("it is no query (" + stem + ")");
    }
    const Json* into = child(body, "into");  // CREATE TABLE AS: what is in it may be EXECUTE
    walk.all(body);
    if (type == "CreateFunctionStmt") new_function(body);
    if (type == "CreateTrigStmt") new_trigger(body);
    const Json* query = into == nullptr ? nullptr : child(body, "query");
    if (query != nullptr && query->contains("ExecuteStmt")) effect(Kind::kUnknown);
    const bool settings = walk.relations.count("pg_settings") + walk.relations.count("pg_catalog.pg_settings") > 0;
    if (type == "UpdateStmt" && settings) effect(Kind::kUnknown);  // it sets them
    const bool own =
        type == "CreateStmt" || type == "CreateTableAsStmt" || type == "CreateSeqStmt" || type == "ViewStmt";
    const auto is_temp = [](const Effect& one) { return one.kind == Kind::kTempObject; };
    if (own && std::any_of(verdict_.effects.begin(), verdict_.effects.end(), is_temp)) verdict_.changes_catalog = false;
  }

  void new_function(const Json& body) {
    const Json* names = child(body, "funcname");
    std::string name;
    if (names == nullptr || !dotted(*names, name)) return;
    for (const Json& option : *list_of(body, "options")) {
      const Json* item = child(option, "DefElem");
      if (item == nullptr || string_of(*item, "defname") != "language") continue;
      const Json* argument = child(*item, "arg");
      const Json* language = argument == nullptr ? nullptr : child(*argument, "String");
      if (language != nullptr && lower(string_of(*language, "sval")) == "c") verdict_.new_code.push_back(name);
    }
  }

  void new_trigger(const Json& body) {
    const Json* names = child(body, "funcname");
    std::string name;
    if (names != nullptr && dotted(*names, name)) walk.functions.insert(name);
  }

  bool session_statement(const std::string& type, const Json& body) {
    if (type == "PrepareStmt") {
      verdict_.effects.push_back({Kind::kPrepare, string_of(body, "name"), {}, false});
    } else if (type == "DeallocateStmt") {
      effect(Kind::kDeallocate, string_of(body, "name"));
    } else if (type == "DiscardStmt") {
      const std::string target = string_of(body, "target");
      effect(Kind::kDiscard, {}, target.substr(std::min<size_t>(target.size(), 8)));
    } else if (type == "ListenStmt") {
      effect(Kind::kListen, string_of(body, "conditionname"));
    } else if (type == "UnlistenStmt") {
      effect(Kind::kUnlisten, string_of(body, "conditionname"));
    } else if (type == "LoadStmt") {
      effect(Kind::kLoad, string_of(body, "filename"));
      verdict_.needs_text = true;
    } else {
      return false;
    }
    return true;
  }

  void effect(Kind kind, std::string name = {}, std::string value = {}, bool local = false) {
    verdict_.effects.push_back({kind, std::move(name), std::move(value), local});
  }

  Verdict& verdict_;
  bool is_query_ = false;
  bool begins_read_only_ = false;
  bool fits_read_only_ = false;
};

// Reads a whole text into a verdict.
class Text {
 public:
  Text(Verdict& verdict, Hint hint) : verdict_(verdict), hint_(hint) {}

  void read(const Json& tree) {
    const Json& statements = *list_of(tree, "stmts");
    verdict_.statements = static_cast<unsigned>(statements.size());
    if (statements.empty()) verdict_.reason = "it is empty";
    for (const Json& item : statements) {
      const Json* node = child(item, "stmt");
      std::string type;
      const Json* body = nullptr;
      if (node != nullptr && unwrap(*node, type, body)) {
        statement(type, *body);
      } else {
        doubt("it has a part that is not understood");
      }
    }
    conclude();
  }

 private:
  void doubt(const std::string& why) {
    if (verdict_.reason.empty()) verdict_.reason = why;
  }

  void statement(const std::string& type, const Json& body) {
    const Transaction before = verdict_.transaction;
    const size_t effects = verdict_.effects.size();
    verdict_.transaction = Transaction::kNone;
    Statement one(verdict_, type);
    one.read(type, body);
    const bool control = verdict_.transaction != Transaction::kNone;
    if (!control) verdict_.transaction = before;
    verdict_.needs_text = verdict_.needs_text || one.walk.needs_text;
    verdict_.draws_number = verdict_.draws_number || one.walk.draws_number;
    writes_rows_ = writes_rows_ || one.walk.writes_rows || verdict_.writes;
    functions_.merge(one.walk.functions);
    operators_.merge(one.walk.operators);
    relations_.merge(one.walk.relations);
    types_.merge(one.walk.types);
    attributes_.merge(one.walk.attributes);
    begins_read_only_ = one.begins_read_only();
    fits_read_only_ = fits_read_only_ && one.fits_read_only();
    if (one.is_query() && one.walk.reads()) {
      if (one.walk.about_one_server() && hint_ != Hint::kReplica) doubt(one.walk.local());
      return;
    }
    doubt(one.walk.reads() ? "it is no query" : one.walk.refusal());
    silent_ = silent_ || (!control && verdict_.effects.size() == effects);
  }

  void conclude() {
    // SET a TO b; INSERT …: the effects alone would make it look like a change of the session and nothing else.
    if (silent_ && std::any_of(verdict_.effects.begin(), verdict_.effects.end(), is_session_state) &&
        std::all_of(verdict_.effects.begin(), verdict_.effects.end(), is_session_state)) {
      verdict_.effects.push_back({});
    }
    if (verdict_.statements == 1 && begins_read_only_) {
      verdict_.read = true;
      verdict_.reason = "the transaction is READ ONLY";
    } else if (verdict_.reason.empty()) {
      verdict_.read = true;
      verdict_.reason = "it only reads";
    }
    verdict_.fits_read_only = fits_read_only_;
    verdict_.shows = verdict_.shows && verdict_.statements == 1;
    verdict_.hint_primary = hint_ == Hint::kPrimary;
    verdict_.hint_replica = hint_ == Hint::kReplica;
    if (verdict_.read && verdict_.hint_primary) {
      verdict_.read = false;
      verdict_.reason = "a comment asks for the primary";
    }
    verdict_.functions.assign(functions_.begin(), functions_.end());
    if (writes_rows_) verdict_.written.assign(relations_.begin(), relations_.end());
    verdict_.operators.assign(operators_.begin(), operators_.end());
    verdict_.relations.assign(relations_.begin(), relations_.end());
    verdict_.types.assign(types_.begin(), types_.end());
    verdict_.attributes.assign(attributes_.begin(), attributes_.end());
  }

  Verdict& verdict_;
  const Hint hint_;
  Walk::Names functions_, operators_, relations_, types_, attributes_;
  bool begins_read_only_ = false;  // the last statement
  bool fits_read_only_ = true;     // all of them
  bool silent_ = false;            // a statement that may write shows no effect
  bool writes_rows_ = false;
};

// The grammar's scanner takes time with the square of the comments that are one in another.
bool has_too_many_comments(std::string_view text) {
  constexpr int kMost = 500;
  int count = 0;
  for (size_t at = text.find("/*"); at != std::string_view::npos; at = text.find("/*", at + 2)) {
    if (++count > kMost) return true;
  }
  return false;
}

Verdict refusal(std::string why) {
  Verdict verdict;
  verdict.reason = std::move(why);
  verdict.effects.push_back({});
  return verdict;
}

}  // namespace

Verdict classify(std::string_view text) {
  try {
    if (text.size() > kMaxText) return refusal("the text is too long to be looked into");
    if (text.find('\0') != std::string_view::npos) return refusal("the text has a zero byte in it");
    if (has_too_many_comments(text)) return refusal("it has too many comments to be looked into");
    Verdict verdict;
    verdict.parsed = true;
    const ParseEnd end = parse(text, [&](const Json& tree) { Text(verdict, find_hint(text)).read(tree); });
    switch (end) {
      case ParseEnd::kOk: return verdict;
      case ParseEnd::kSyntax: return refusal("it does not parse");
      case ParseEnd::kTooDeep: return refusal("it is nested too deeply to be looked into");
      case ParseEnd::kNoMemory: break;
    }
  } catch (const std::exception&) {  // no memory
  }
  return refusal("there is no memory to look into it");
}

}  // namespace pgb::sql
