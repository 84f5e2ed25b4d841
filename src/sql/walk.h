// Walks the tree of a statement and notes what matters: names, and what keeps it from being a read. Internal to this
// folder.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "sql/json.h"
#include "sql/verdict.h"

namespace pgb::sql {

// Of the session alone: a statement with no other effects may still write, see Walk::finish().
inline bool is_session_state(const Effect& effect) {
  return effect.kind != Effect::Kind::kUnknown && effect.kind != Effect::Kind::kTempObject;
}

class Walk {
 public:
  using Names = std::set<std::string>;

  // Effects go to `effects`. What is only defined, not run (PREPARE, CREATE FUNCTION), has none but temporary objects.
  Walk(std::vector<Effect>& effects, bool runs) : effects_(effects), runs_(runs) {}

  void query(const std::string& type, const Json& body);  // a whole statement that is to be a query
  void all(const Json& value);                            // any part of any statement

  void refuse(std::string why);       // it is no read; the first reason stays
  void only_effect(std::string why);  // likewise, for nothing but an effect that is noted
  void effect(Effect::Kind kind, std::string name = {}, std::string value = {}, bool local = false);
  void temporary(const char* what);
  // Adds kUnknown where the effects noted since this walk began do not tell the whole story.
  void finish();

  bool reads() const { return refusal_.empty(); }
  bool about_one_server() const { return !local_.empty(); }
  const std::string& refusal() const { return refusal_; }
  const std::string& local() const { return local_; }

  Names functions, operators, relations, types, attributes;
  bool needs_text = false;
  bool draws_number = false;
  bool writes_rows = false;  // some part of it, where it runs
  bool acts = false;         // also where nobody may write: it locks, notifies, runs what is in a text

 private:
  void visit(const Json& value);
  void node(const std::string& type, const Json& body);
  void field(const std::string& key, const Json& value);
  void select(const Json& body);
  void with(const Json& clause);
  void operators_of(const std::string& type, const Json& body);
  void add_operator(const Json* names);
  void relation(const Json& range);
  void type_name(const Json& type);
  void column(const Json& fields, size_t first);
  void sample(const Json& body);
  void function(const Json& call);
  void known_function(const std::string& name, const std::string& base, const Json& call);
  void set_config(const Json& call);
  void setting(const std::string& name, const Json& call);
  void local(std::string why);

  std::vector<Effect>& effects_;
  const size_t before_ = effects_.size();
  const bool runs_;
  bool more_than_effects_ = false;
  std::string refusal_;                  // empty: none
  std::string local_;                    // why it depends on the server it runs on; empty: it does not
  std::vector<std::string> ctes_;        // in scope
  std::vector<const Json*> sure_calls_;  // set_config() that surely runs, once
};

}  // namespace pgb::sql
