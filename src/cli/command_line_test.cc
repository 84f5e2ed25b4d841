#include "cli/command_line.h"

#include <gtest/gtest.h>

#include <sstream>

#include "cli/context.h"

namespace pgb::cli {
namespace {

CommandLine parse(const std::vector<std::string>& words) {
  auto line = parse_command_line(words);
  EXPECT_TRUE(line.ok()) << line.error().message;
  return line.ok() ? *line : CommandLine{};
}

std::string refusal(const std::vector<std::string>& words) {
  auto line = parse_command_line(words);
  if (line.ok()) return "accepted";
  EXPECT_EQ(line.error().code, Code::kUsage);
  EXPECT_EQ(error_info(line.error().code).exit_code, 2);
  std::string text = line.error().message;
  for (const auto& [label, detail] : line.error().details) text += "|" + detail;
  return text;
}

TEST(CommandLine, OldFlagsMeanTheVerbsInAnyOrder) {
  for (const auto& words : std::vector<std::vector<std::string>>{{"--config", "f.json", "-v", "--init"},
                                                                 {"--init", "--config=f.json", "-v"},
                                                                 {"-v", "--init", "-c", "f.json"}}) {
    const CommandLine line = parse(words);
    EXPECT_EQ(line.verb->name, "init");
    EXPECT_TRUE(line.flag_form);
    EXPECT_EQ(line.get("--config"), "f.json");
    EXPECT_EQ(line.verbosity, 1);
  }
  const CommandLine add = parse({"--add-replica", "--balancer", "lb1", "--count", "2"});
  EXPECT_EQ(add.verb->name, "add-replica");
  EXPECT_EQ(add.get("--balancer"), "lb1");
  EXPECT_EQ(add.get("--count"), "2");
}

TEST(CommandLine, VerbsTakeOptionsBeforeAndAfterThem) {
  const CommandLine line = parse({"--config", "f", "status", "--watch", "--json"});
  EXPECT_EQ(line.verb->name, "status");
  EXPECT_FALSE(line.flag_form);
  EXPECT_TRUE(line.has("--watch"));
  EXPECT_EQ(parse({"status", "--watch=2"}).get("--watch"), "2");
}

TEST(CommandLine, NothingMeansHelp) { EXPECT_EQ(parse({}).verb->name, "help"); }

TEST(CommandLine, HelpAnywhereMeansTheVerbsHelp) {
  EXPECT_EQ(parse({"init", "--help"}).words, std::vector<std::string>{"init"});
  EXPECT_EQ(parse({"-h"}).verb->name, "help");
}

TEST(CommandLine, AbbreviationsAndTypingMistakesAreCorrectedNotGuessed) {
  EXPECT_NE(refusal({"--stat"}).find("--status"), std::string::npos);
  EXPECT_NE(refusal({"--add"}).find("--add-replica"), std::string::npos);
  EXPECT_NE(refusal({"statsu"}).find("status"), std::string::npos);
  EXPECT_NE(refusal({"--init", "--confg", "x"}).find("--config"), std::string::npos);
}

TEST(CommandLine, RefusesWhatCannotBeMeant) {
  EXPECT_NE(refusal({"--init", "--status"}).find("two actions"), std::string::npos);
  EXPECT_NE(refusal({"status", "--config"}).find("needs a value"), std::string::npos);
  EXPECT_NE(refusal({"status", "--count", "2"}).find("does not take --count"), std::string::npos);
  EXPECT_NE(refusal({"status", "--config", "--json"}).find("needs a value"), std::string::npos);
  EXPECT_NE(refusal({"status", "--config="}).find("needs a value"), std::string::npos);
  EXPECT_NE(refusal({"stop", "a", "b"}).find("does not take the word b"), std::string::npos);
  EXPECT_NE(refusal({"init", "--json=1"}).find("takes no value"), std::string::npos);
}

TEST(CommandLine, AWordThatAVerbHasNoUseForIsNeverPassedOver) {
  EXPECT_NE(refusal({"destroy", "another_cluster", "--yes"}).find("another_cluster"), std::string::npos);
  EXPECT_NE(refusal({"--destroy", "another_cluster"}).find("another_cluster"), std::string::npos);
}

TEST(CommandLine, HelpAndVersionDoNothingElse) {
  EXPECT_EQ(parse({"--destroy", "--version"}).verb->name, "version");
  EXPECT_EQ(parse({"destroy", "--yes", "--help"}).verb->name, "help");
  EXPECT_EQ(parse({"add-replica", "--count", "2", "--help"}).words, std::vector<std::string>{"add-replica"});
}

TEST(CommandLine, OnlyTheListedValuesAreTaken) {
  EXPECT_NE(refusal({"status", "-o", "jsn"}).find("json"), std::string::npos);
  EXPECT_NE(refusal({"init", "--progress=loud"}).find("plain"), std::string::npos);
  EXPECT_NE(refusal({"init", "--runtime", "podman"}).find("docker"), std::string::npos);
  EXPECT_EQ(parse({"status", "--output=wide"}).get("--output"), "wide");
}

TEST(CommandLine, StandardInputAndAnIntervalApartAreValues) {
  EXPECT_EQ(parse({"validate", "--config", "-"}).get("--config"), "-");
  EXPECT_EQ(parse({"status", "--watch", "2"}).get("--watch"), "2");
  EXPECT_EQ(parse({"status", "--watch", "--json"}).get("--watch"), "");
}

TEST(CommandLine, WhatFollowsTwoDashesIsLeftAlone) {
  EXPECT_EQ(parse({"psql", "--", "-c", "SELECT 1"}).words, (std::vector<std::string>{"-c", "SELECT 1"}));
}

TEST(VerbTable, EveryVerbHasAFunctionAndStandsInHelpManAndCompletion) {
  for (const VerbRow& row : verb_table()) {
    EXPECT_NE(find_function(std::string(row.name)), nullptr) << row.name;
    EXPECT_NE(help_text().find("    " + std::string(row.name)), std::string::npos) << row.name;
    for (const char* shell : {"bash", "zsh", "fish"}) EXPECT_NE(completion(shell).find(row.name), std::string::npos);
    EXPECT_FALSE(row.example.empty()) << row.name;
  }
  EXPECT_EQ(completion("csh"), "");
}

TEST(VerbTable, TheExampleOfEveryVerbIsUnderstood) {
  for (const VerbRow& row : verb_table()) {
    std::vector<std::string> words;
    std::istringstream example{std::string(row.example)};
    for (std::string word; example >> word;) words.push_back(word);
    EXPECT_EQ(parse(words).verb, &row) << row.example;
  }
}

TEST(VerbTable, EveryExitCodeOfAnErrorStandsInTheManPage) {
  const std::string page = man_page();
  for (const ErrorInfo& row : error_table()) {
    const std::string code = std::to_string(row.exit_code);
    EXPECT_TRUE(page.find(".B " + code) != std::string::npos || page.find(", " + code) != std::string::npos) << row.id;
  }
  for (const VerbRow& row : verb_table()) {
    EXPECT_NE(page.find(row.name.substr(0, row.name.find('-'))), std::string::npos) << row.name;
  }
}

TEST(VerbTable, EveryOptionOfAVerbIsAnOption) {
  for (const VerbRow& row : verb_table()) {
    std::string options(row.options);
    for (size_t start = 0; start < options.size();) {
      const size_t end = std::min(options.find(' ', start), options.size());
      EXPECT_NE(find_option(options.substr(start, end - start)), nullptr) << options.substr(start, end - start);
      start = end + 1;
    }
  }
  for (std::string_view name : global_options()) EXPECT_NE(find_option(name), nullptr) << name;
}

TEST(VerbTable, HelpFitsEightyColumns) {
  const std::string text = help_text();
  for (size_t start = 0; start < text.size();) {
    const size_t end = text.find('\n', start);
    EXPECT_LE(end - start, 80u) << text.substr(start, end - start);
    start = end + 1;
  }
}

}  // namespace
}  // namespace pgb::cli
