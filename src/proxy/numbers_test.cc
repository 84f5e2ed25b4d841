#include "proxy/numbers.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <thread>
#include <vector>

namespace pgb::proxy {
namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;
constexpr uint64_t kVeryMany = 1'000'000;  // transactions

NumbersBoard::SurveyPtr survey_of_one() { return std::make_shared<Survey<Numbers>>(1); }

std::vector<Numbers> requests(uint64_t count) {
  std::vector<Numbers> rows(1);
  rows[0].verdicts.push_back({"reads", "node", "it only reads", count});
  return rows;
}

uint64_t requests_of(const NumbersBoard::SurveyPtr& survey) { return survey->rows().at(0).verdicts.at(0).requests; }

class NumbersBoardTest : public ::testing::Test {
 protected:
  NumbersBoardTest() {
    board_.await(known_, 0);
    std::this_thread::sleep_for(milliseconds(110));  // so that there is a rate
  }
  NumbersBoard board_;
  const NumbersBoard::SurveyPtr known_ = [] {
    auto survey = survey_of_one();
    survey->add(requests(7));
    return survey;
  }();
};

TEST_F(NumbersBoardTest, WithMuchToDoTheLastOnesAreGivenAtOnce) {
  const auto began = Clock::now();
  const auto late = survey_of_one();
  EXPECT_EQ(requests_of(board_.await(late, kVeryMany)), 7u);
  EXPECT_LT(Clock::now() - began, milliseconds(1000));
  late->add(requests(8));  // it comes after all, and is the newest from now on
  EXPECT_EQ(requests_of(board_.await(survey_of_one(), kVeryMany)), 8u);
}

TEST_F(NumbersBoardTest, WithLittleToDoTheyAreWaitedFor) {
  const auto begun = survey_of_one();
  std::thread reactor([&] {
    std::this_thread::sleep_for(milliseconds(50));
    begun->add(requests(9));
  });
  EXPECT_EQ(requests_of(board_.await(begun, 10)), 9u);
  reactor.join();
}

TEST_F(NumbersBoardTest, WhatIsOlderThanASecondIsNotGiven) {
  std::this_thread::sleep_for(milliseconds(1300));
  const auto begun = survey_of_one();
  std::thread reactor([&] {
    std::this_thread::sleep_for(milliseconds(50));
    begun->add(requests(9));
  });
  EXPECT_EQ(requests_of(board_.await(begun, kVeryMany)), 9u);
  reactor.join();
}

// Their age is that of the question, whoever hands them in.
TEST_F(NumbersBoardTest, WhatWasAskedForLongAgoIsOld) {
  const auto old = std::make_shared<Survey<Numbers>>(1, Clock::now() - milliseconds(1300));
  old->add(requests(8));
  board_.await(old, kVeryMany);
  EXPECT_EQ(requests_of(board_.await(survey_of_one(), kVeryMany)), 7u);
}

TEST_F(NumbersBoardTest, WhoeverAsksLeavesNothingBehind) {
  std::vector<std::weak_ptr<Survey<Numbers>>> asked;
  for (int i = 0; i < 100; ++i) {
    auto survey = survey_of_one();
    survey->add(requests(1));
    asked.push_back(survey);
    board_.await(survey, 0);
  }
  const auto kept = std::count_if(asked.begin(), asked.end(), [](const auto& survey) { return !survey.expired(); });
  EXPECT_LE(kept, 2) << "the newest complete one, and the one that came last";
}

}  // namespace
}  // namespace pgb::proxy
