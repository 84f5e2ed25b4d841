// tests/corpus/routing: where each statement may go, why, and what it does to the session.
#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <sstream>

#include "base/strings.h"
#include "sql/classify.h"
#include "sql/decision.h"
#include "sql/normalize.h"
#include "sql/verdict_cache.h"

namespace pgb::sql {
namespace {

struct Case {
  int line = 0;
  bool replica = false;
  std::string reason, effects, text;
};

std::vector<Case> corpus() {
  std::ifstream file(std::string(PGB_SOURCE_DIR) + "/tests/corpus/routing/statements.tsv");
  std::vector<Case> cases;
  std::string line;
  for (int number = 1; std::getline(file, line); ++number) {
    if (line.empty() || line[0] == '#') continue;
    std::vector<std::string> columns = split(line, '\t');
    if (columns.size() == 3) columns.push_back("");
    if (columns.size() != 4) {
      ADD_FAILURE() << "line " << number << " has " << columns.size() << " columns";
      continue;
    }
    size_t at = 0;
    while ((at = columns[3].find("\\n", at)) != std::string::npos) columns[3].replace(at, 2, "\n");
    cases.push_back({number, columns[0] == "replica", columns[1], columns[2], columns[3]});
  }
  return cases;
}

// A database with tables t, u, v, m; what else there is stands here.
CatalogPtr catalog() {
  std::vector<std::vector<std::optional<std::string>>> rows;
  for (const char* name : {"count", "sum", "row_number", "generate_series", "coalesce", "now", "upper", "lower",
                           "Nextval", "xmlelement", "system"}) {
    rows.push_back({"f", "pg_catalog", name});
  }
  for (const char* name : {"random", "clock_timestamp", "gen_random_uuid", "pg_sleep"}) {
    rows.push_back({"v", "pg_catalog", name});
  }
  rows.push_back({"v", "public", "writes_much"});
  rows.push_back({"v", "elsewhere", "nextval"});
  rows.push_back({"f", "safe_one", "both_ways"});
  rows.push_back({"v", "bad_one", "both_ways"});
  rows.push_back({"o", "", "<!>"});
  for (const char* name : {"t", "u", "v", "m", "bad_view"}) rows.push_back({"k", "public", name});
  rows.push_back({"r", "public", "bad_view"});
  return Catalog::from_rows(rows, 1);
}

std::string name_of(Effect::Kind kind) {
  static const std::map<Effect::Kind, std::string> kNames = {{Effect::Kind::kSet, "set"},
                                                             {Effect::Kind::kReset, "reset"},
                                                             {Effect::Kind::kResetAll, "reset-all"},
                                                             {Effect::Kind::kSetTransaction, "transaction"},
                                                             {Effect::Kind::kListen, "listen"},
                                                             {Effect::Kind::kUnlisten, "unlisten"},
                                                             {Effect::Kind::kTempObject, "temp"},
                                                             {Effect::Kind::kSessionLock, "lock"},
                                                             {Effect::Kind::kHoldCursor, "hold"},
                                                             {Effect::Kind::kPrepare, "prepare"},
                                                             {Effect::Kind::kDeallocate, "deallocate"},
                                                             {Effect::Kind::kDiscard, "discard"},
                                                             {Effect::Kind::kLoad, "load"},
                                                             {Effect::Kind::kSessionUser, "user"},
                                                             {Effect::Kind::kSequenceState, "sequence"},
                                                             {Effect::Kind::kUnknown, "unknown"}};
  return kNames.at(kind);
}

TEST(RoutingCorpus, EveryStatementGoesWhereItMayAndSaysWhy) {
  const CatalogPtr known = catalog();
  const std::vector<Case> cases = corpus();
  EXPECT_GE(cases.size(), 200u);
  for (const Case& one : cases) {
    const Verdict verdict = classify(one.text);
    const Decision decision = decide(verdict, known.get());
    const std::string where = "line " + std::to_string(one.line) + ": " + one.text;
    EXPECT_EQ(decision.replica, one.replica) << where << "\n  " << decision.reason;
    EXPECT_FALSE(one.reason.empty()) << where;
    EXPECT_NE(decision.reason.find(one.reason), std::string::npos) << where << "\n  " << decision.reason;
    std::string effects;
    for (const Effect& effect : verdict.effects) effects += (effects.empty() ? "" : ",") + name_of(effect.kind);
    EXPECT_EQ(effects.empty() ? "-" : effects, one.effects) << where;
  }
}

TEST(RoutingCorpus, TheCacheSaysTheSameAsTheParser) {
  const CatalogPtr known = catalog();
  VerdictCache cache(100, 1 << 20);  // so small that entries come and go
  for (int round = 0; round < 3; ++round) {
    for (const Case& one : corpus()) {
      const VerdictCache::Entry& entry = cache.get(one.text, known.get());
      EXPECT_EQ(entry.verdict, classify(one.text)) << one.text;
      EXPECT_EQ(entry.decision.replica, one.replica) << one.text;
    }
  }
  EXPECT_LE(cache.size(), 100u);
}

// Two statements that are kept under one key must mean the same.
TEST(RoutingCorpus, StatementsOfOneKeyHaveOneVerdict) {
  std::map<std::string, std::string> by_key;
  const auto check = [&](const std::string& text) {
    std::string key;
    if (!normalize(text, key)) return;
    const auto [known, fresh] = by_key.emplace(key, text);
    if (fresh) return;
    const Verdict one = classify(text), other = classify(known->second);
    EXPECT_TRUE(one == other || (one.needs_text && other.needs_text)) << text << "\n" << known->second;
  };
  for (const Case& one : corpus()) {
    check(one.text);
    for (const char* literal : {"7", "'7'", "'nextval('", "1.5", "''", "' -- '", "'/*'", "' for update'"}) {
      std::string other;  // every digit becomes another literal
      for (const char c : one.text) other += c >= '0' && c <= '9' ? std::string(literal) : std::string(1, c);
      check(other);
    }
  }
}

TEST(Catalog, WithoutOneOnlyWhatNamesNothingIsSafe) {
  EXPECT_TRUE(decide(classify("SELECT 1"), nullptr).replica);
  EXPECT_FALSE(decide(classify("SELECT * FROM t"), nullptr).replica);
  EXPECT_FALSE(decide(classify("SELECT upper('x')"), nullptr).replica);
}

}  // namespace
}  // namespace pgb::sql
