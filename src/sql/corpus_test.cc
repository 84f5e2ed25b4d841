// Holds classify() and the verdict cache against tests/corpus/routing, whose README tells its format.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>

#include "sql/classify.h"
#include "sql/normalize.h"
#include "sql/verdict_cache.h"

namespace pgb::sql {
namespace {

struct Line {
  std::string where, verdict, reason, effects, statement;
};

std::string unescaped(const std::string& text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 1 < text.size()) {
      out += text[++i] == 'n' ? '\n' : text[i];
    } else {
      out += text[i];
    }
  }
  return out;
}

std::string cut(std::string& rest) {
  const size_t end = rest.find(" | ");
  std::string found = rest.substr(0, end);
  rest.erase(0, end == std::string::npos ? end : end + 3);
  return found;
}

std::vector<Line> corpus() {
  std::vector<Line> lines;
  for (const auto& file : std::filesystem::directory_iterator(PGB_SOURCE_DIR "/tests/corpus/routing")) {
    if (file.path().extension() != ".txt") continue;
    std::ifstream in(file.path());
    std::string text;
    for (int number = 1; std::getline(in, text); ++number) {
      if (text.empty() || text[0] == '#') continue;
      Line line;
      line.where = file.path().filename().string() + ":" + std::to_string(number);
      line.verdict = cut(text);
      line.reason = cut(text);
      line.effects = cut(text);
      line.statement = unescaped(text);
      lines.push_back(line);
    }
  }
  return lines;
}

std::string printed(const Effect& effect) {
  static const std::map<Effect::Kind, const char*> kNames = {
      {Effect::Kind::kSet, "set"},
      {Effect::Kind::kReset, "reset"},
      {Effect::Kind::kResetAll, "reset_all"},
      {Effect::Kind::kSetTransaction, "set_transaction"},
      {Effect::Kind::kListen, "listen"},
      {Effect::Kind::kUnlisten, "unlisten"},
      {Effect::Kind::kTempObject, "temp"},
      {Effect::Kind::kSessionLock, "session_lock"},
      {Effect::Kind::kHoldCursor, "hold_cursor"},
      {Effect::Kind::kPrepare, "prepare"},
      {Effect::Kind::kDeallocate, "deallocate"},
      {Effect::Kind::kDiscard, "discard"},
      {Effect::Kind::kLoad, "load"},
      {Effect::Kind::kSessionUser, "session_user"},
      {Effect::Kind::kSequenceState, "sequence"},
      {Effect::Kind::kUnknown, "unknown"},
  };
  std::string out = kNames.at(effect.kind);
  if (!effect.name.empty()) out += ":" + effect.name;
  if (!effect.value.empty()) out += "=" + effect.value;
  return out + (effect.local ? " local" : "");
}

std::string printed(const std::vector<Effect>& effects) {
  std::string out;
  for (const Effect& effect : effects) out += (out.empty() ? "" : "; ") + printed(effect);
  return out.empty() ? "-" : out;
}

std::string printed(const Verdict& verdict) {
  static const std::map<Transaction, const char*> kNames = {
      {Transaction::kNone, ""},
      {Transaction::kBegin, " begin"},
      {Transaction::kBeginReadOnly, " begin_read_only"},
      {Transaction::kBeginReadWrite, " begin_read_write"},
      {Transaction::kCommit, " commit"},
      {Transaction::kRollback, " rollback"},
      {Transaction::kSavepoint, " savepoint"},
      {Transaction::kTwoPhase, " two_phase"},
  };
  const char* where = verdict.read ? "read" : verdict.parsed ? "primary" : "unparsed";
  return where + std::string(kNames.at(verdict.transaction));
}

TEST(RoutingCorpus, HasAtLeastFourHundredStatements) { EXPECT_GE(corpus().size(), 400u); }

TEST(RoutingCorpus, EveryStatementGetsItsVerdict) {
  for (const Line& line : corpus()) {
    const Verdict verdict = classify(line.statement);
    const std::string where = line.where + ": " + line.statement;
    EXPECT_EQ(printed(verdict), line.verdict) << where << ": " << verdict.reason;
    EXPECT_FALSE(line.reason.empty()) << where;
    EXPECT_NE(verdict.reason.find(line.reason), std::string::npos) << where << ": " << verdict.reason;
    EXPECT_EQ(printed(verdict.effects), line.effects) << where;
  }
}

TEST(RoutingCorpus, EffectsAreNoReads) {
  for (const Line& line : corpus()) {
    const Verdict verdict = classify(line.statement);
    EXPECT_TRUE(!verdict.read || verdict.effects.empty()) << line.where;
  }
}

// The whole corpus goes through one cache twice: no statement gets another's verdict.
TEST(RoutingCorpus, TheCacheGivesWhatClassifyGives) {
  VerdictCache cache;
  for (int round = 0; round < 2; ++round) {
    for (const Line& line : corpus()) {
      EXPECT_EQ(cache.get(line.statement, nullptr).verdict, classify(line.statement)) << line.where;
    }
  }
  EXPECT_GE(cache.hits(), corpus().size());
}

// Each statement once more with all that is long about it: rows, comments, white space.
TEST(RoutingCorpus, LongStatementsAreJudgedLikeShortOnes) {
  VerdictCache cache;
  for (const Line& line : corpus()) {
    if (line.verdict == "unparsed") continue;
    const std::string text = line.statement + "\n/*" + std::string(3000, 'x') + "*/";
    const Verdict& verdict = cache.get(text, nullptr).verdict;
    EXPECT_EQ(printed(verdict), line.verdict) << line.where;
    EXPECT_EQ(printed(verdict.effects), line.effects) << line.where;
  }
}

}  // namespace
}  // namespace pgb::sql
