// What a statement was taken for, in a word: for whoever asks where it goes and why, and for the counters.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include "sql/verdict.h"

namespace pgb::proxy {

enum class Meaning : uint8_t {
  kNotLookedInto,  // a login, a function call, what is too long
  kNotUnderstood,
  kEmpty,
  kMayDoAnything,
  kReads,
  kWrites,
  kChangesCatalog,
  kControlsTransaction,
  kMayWrite,
  kChangesSession,
};
inline constexpr size_t kMeanings = 10;

inline const char* to_string(Meaning meaning) {
  constexpr std::array<const char*, kMeanings> kWords = {
      "not looked into",       "not understood",           "empty",     "may do anything",    "reads", "writes",
      "changes the catalogue", "controls the transaction", "may write", "changes the session"};
  return kWords[static_cast<size_t>(meaning)];
}

// `may_do_anything`: it calls functions of which nobody knows.
inline Meaning meaning_of(const sql::Verdict& verdict, bool may_do_anything) {
  if (!verdict.parsed) return Meaning::kNotUnderstood;
  if (verdict.statements == 0) return Meaning::kEmpty;
  const bool opaque = std::any_of(verdict.effects.begin(), verdict.effects.end(),
                                  [](const sql::Effect& effect) { return effect.kind == sql::Effect::Kind::kUnknown; });
  if (may_do_anything || opaque) return Meaning::kMayDoAnything;
  if (verdict.read) return Meaning::kReads;
  if (verdict.writes) return Meaning::kWrites;
  if (verdict.changes_catalog) return Meaning::kChangesCatalog;
  if (verdict.transaction != sql::Transaction::kNone) return Meaning::kControlsTransaction;
  return verdict.effects.empty() ? Meaning::kMayWrite : Meaning::kChangesSession;
}

}  // namespace pgb::proxy
