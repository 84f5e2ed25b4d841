#include "sql/decision.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <vector>

#include "sql/functions.h"

namespace pgb::sql {
namespace {

// The first reason that the catalogue has against it; empty: none.
std::string objection(const Verdict& verdict, const Catalog& catalog) {
  if (!catalog.volatile_implicit_cast().empty()) {
    return "the implicit cast to " + catalog.volatile_implicit_cast() + " is volatile";
  }
  if (!catalog.operator_is_safe("-")) return "the operator - is volatile";  // no verdict names it, see Walk
  for (const std::string& name : verdict.functions) {
    if (!catalog.function_is_safe(name)) return name + "() is volatile or not known";
  }
  for (const std::string& name : verdict.operators) {
    if (!catalog.operator_is_safe(name)) return "the operator " + name + " is volatile";
  }
  for (const std::string& name : verdict.relations) {
    if (!catalog.relation_is_safe(name)) return name + " is not known, or not the same on a replica";
  }
  for (const std::string& name : verdict.types) {
    if (!catalog.type_is_safe(name)) return "the cast to " + name + " is volatile";
  }
  for (const std::string& name : verdict.attributes) {
    if (!catalog.attribute_is_safe(name)) return name + " may be a volatile function of a row";
  }
  return {};
}

bool names_nothing(const Verdict& verdict) {
  return verdict.functions.empty() && verdict.operators.empty() && verdict.relations.empty() && verdict.types.empty() &&
         verdict.attributes.empty();
}

Decision place(const Verdict& verdict, const Catalog* catalog) {
  if (!verdict.read) return {false, false, verdict.reason};
  if (verdict.hint_replica) return {true, false, "a comment asks for a replica"};
  if (names_nothing(verdict)) return {true, false, verdict.reason};
  if (catalog == nullptr || !catalog->is_read())
    return {false, false, "the catalogue of the database is not known yet"};
  std::string against = objection(verdict, *catalog);
  if (!against.empty()) return {false, false, std::move(against)};
  return {true, false, verdict.reason};
}

// PostgreSQL's own volatile functions that INSERTs and defaults are full of: they leave no state in the session but
// what Effect::kSequenceState is about.
bool leaves_nothing(std::string_view name) {
  constexpr std::array<std::string_view, 7> kHarmless = {"clock_timestamp", "gen_random_uuid", "nextval",  "pg_notify",
                                                         "random",          "setval",          "timeofday"};
  constexpr std::string_view kSystem = "pg_catalog.";
  if (name.substr(0, kSystem.size()) == kSystem) name.remove_prefix(kSystem.size());
  return std::find(kHarmless.begin(), kHarmless.end(), name) != kHarmless.end();
}

template <class Is>
bool any(const std::vector<std::string>& names, Is is) {
  return std::any_of(names.begin(), names.end(), is);
}

bool calls_what_may_do_anything(const Verdict& verdict, const Catalog* catalog) {
  return any(verdict.functions, [&](const std::string& name) {
    return !leaves_nothing(name) && (catalog == nullptr || !catalog->function_is_safe(name));
  });
}

// Names that are no functions, behind which functions stand.
bool runs_what_may_do_anything(const Verdict& verdict, const Catalog* catalog) {
  const bool names_something = !names_nothing(verdict);
  if (catalog == nullptr || catalog->knows_nothing()) return names_something;
  if (names_something && (!catalog->volatile_implicit_cast().empty() || catalog->operator_acts("-"))) return true;
  return any(verdict.relations, [&](const std::string& name) { return catalog->relation_acts(name); }) ||
         any(verdict.operators, [&](const std::string& name) { return catalog->operator_acts(name); }) ||
         any(verdict.types, [&](const std::string& name) { return catalog->type_acts(name); }) ||
         any(verdict.attributes, [&](const std::string& name) { return catalog->attribute_acts(name); });
}

bool is_opaque(const Verdict& verdict) {
  return std::any_of(verdict.effects.begin(), verdict.effects.end(),
                     [](const Effect& effect) { return effect.kind == Effect::Kind::kUnknown; });
}

// Triggers, defaults or the like of what it writes to; event triggers, for whatever may be no data.
bool may_leave(const Verdict& verdict, const Catalog* catalog) {
  if (verdict.read) return false;
  if (catalog == nullptr || !catalog->is_read()) return true;
  const std::vector<std::string>& changed = verdict.changes_catalog ? verdict.relations : verdict.written;
  if (any(changed, [&](const std::string& name) { return catalog->write_may_leave(name); })) return true;
  const bool data = !verdict.written.empty() || verdict.transaction != Transaction::kNone || verdict.hint_primary;
  return catalog->ddl_may_leave() && (verdict.changes_catalog || !data);
}

// setseed(), dblink_connect(): PostgreSQL's own, and those of contrib wherever they are.
bool keeps_by_name(std::string_view name) {
  return kind_of_function(name.substr(name.rfind('.') + 1)) == FunctionKind::kSessionState;
}

bool keeps_state(const Verdict& verdict, const Catalog* catalog, bool may_do_anything) {
  if (any(verdict.functions, [&](const std::string& name) {
        return keeps_by_name(name) || (catalog != nullptr && catalog->function_keeps_state(name));
      })) {
    return true;
  }
  if (catalog == nullptr) return false;
  const std::vector<std::string>& run = may_do_anything ? verdict.relations : verdict.written;
  return any(run, [&](const std::string& name) { return catalog->relation_keeps_state(name); });
}

bool asks_number(const Verdict& verdict, const Catalog* catalog, bool may_do_anything) {
  if (is_opaque(verdict)) return true;
  if (verdict.read && !may_do_anything) return false;
  if (catalog == nullptr || !catalog->is_read()) return !names_nothing(verdict);
  const auto asks = [&](const std::string& name) { return catalog->asks_for_number(name); };
  return catalog->anything_asks_for_numbers() && (any(verdict.functions, asks) || any(verdict.relations, asks));
}

}  // namespace

Decision decide(const Verdict& verdict, const Catalog* catalog) {
  Decision decision = place(verdict, catalog);
  decision.may_do_anything =
      calls_what_may_do_anything(verdict, catalog) || runs_what_may_do_anything(verdict, catalog);
  decision.keeps_state = keeps_state(verdict, catalog, decision.may_do_anything);
  decision.may_leave = may_leave(verdict, catalog);
  decision.asks_number = asks_number(verdict, catalog, decision.may_do_anything);
  if (catalog == nullptr) return decision;
  decision.numbers_asked = catalog->anything_asks_for_numbers();
  decision.sets_any = any(verdict.functions, [&](const std::string& name) { return catalog->function_sets_any(name); });
  return decision;
}

}  // namespace pgb::sql
