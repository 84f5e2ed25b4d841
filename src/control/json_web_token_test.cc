#include "control/json_web_token.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "pgwire/digest.h"

namespace pgb::control {
namespace {

using std::chrono::seconds;
using Time = TokenMint::Time;

const Time kNow{seconds(1'800'000'000)};

std::string url(std::string text) {
  text = pgwire::base64(text);
  std::replace(text.begin(), text.end(), '+', '-');
  std::replace(text.begin(), text.end(), '/', '_');
  text.erase(text.find_last_not_of('=') + 1);
  return text;
}

struct Parts {
  std::string header, payload, signature;
  std::string token() const { return header + "." + payload + "." + signature; }
};

Parts parts_of(const std::string& token) {
  const size_t first = token.find('.'), last = token.rfind('.');
  return {token.substr(0, first), token.substr(first + 1, last - first - 1), token.substr(last + 1)};
}

TEST(TokenMint, ATokenSaysWhoItIsForUntilItExpires) {
  const TokenMint mint;
  const std::string token = mint.issue({"böss", Role::kOperator}, kNow, kNow + seconds(60));
  const auto claims = mint.read(token, kNow + seconds(59));
  ASSERT_TRUE(claims);
  EXPECT_EQ(claims->user, "böss");
  EXPECT_EQ(claims->role, Role::kOperator);
  EXPECT_FALSE(mint.read(token, kNow + seconds(60)));
  EXPECT_EQ(parts_of(token).header, url(R"({"alg":"HS256","typ":"JWT"})")) << "as RFC 7515 has it";
}

TEST(TokenMint, NobodyElseMakesOne) {
  const TokenMint mint, other;
  const std::string token = mint.issue({"boss", Role::kViewer}, kNow, kNow + seconds(60));
  EXPECT_FALSE(other.read(token, kNow));
  Parts forged = parts_of(token);
  forged.payload = url(R"({"exp":9999999999,"role":"operator","sub":"boss"})");
  EXPECT_FALSE(mint.read(forged.token(), kNow));
  forged = parts_of(token);
  forged.signature.back() = forged.signature.back() == 'A' ? 'B' : 'A';
  EXPECT_FALSE(mint.read(forged.token(), kNow));
  for (size_t i = 0; i < token.size(); ++i) {
    std::string bent = token;
    bent[i] = bent[i] == 'x' ? 'y' : 'x';
    EXPECT_FALSE(mint.read(bent, kNow)) << i;
  }
}

TEST(TokenMint, TheTokenDoesNotChooseTheAlgorithm) {
  const TokenMint mint;
  const Parts good = parts_of(mint.issue({"boss", Role::kOperator}, kNow, kNow + seconds(60)));
  for (const char* header : {R"({"alg":"none"})", R"({"alg":"None","typ":"JWT"})", R"({"alg":"RS256","typ":"JWT"})",
                             R"({"typ":"JWT","alg":"HS256"})", R"({})", ""}) {
    for (const std::string& signature : {good.signature, std::string()}) {
      EXPECT_FALSE(mint.read(Parts{url(header), good.payload, signature}.token(), kNow)) << header;
    }
  }
}

TEST(TokenMint, WhatIsNoTokenIsNone) {
  const TokenMint mint;
  const Parts good = parts_of(mint.issue({"boss", Role::kOperator}, kNow, kNow + seconds(60)));
  for (const std::string& text :
       {std::string(), std::string("."), std::string(".."), std::string("a.b"), good.token() + ".", "." + good.token(),
        good.token() + "=", good.header + ".." + good.signature, good.payload + "." + good.signature,
        std::string(100'000, '.')}) {
    EXPECT_FALSE(mint.read(text, kNow)) << text.substr(0, 80);
  }
}

TEST(TokenMintTest, WhoHasTheKeyTakesWhatAnotherIssued) {
  const TokenMint first, stranger;
  const TokenMint next{first.key()};
  const auto now = std::chrono::system_clock::now();
  const std::string token = first.issue({"alice", Role::kViewer}, now, now + std::chrono::hours(1));
  ASSERT_TRUE(next.read(token, now));
  EXPECT_EQ(next.read(token, now)->user, "alice");
  EXPECT_FALSE(stranger.read(token, now));
}

}  // namespace
}  // namespace pgb::control
