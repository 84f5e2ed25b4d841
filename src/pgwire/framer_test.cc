#include "pgwire/framer.h"

#include <gtest/gtest.h>

#include "pgwire/messages.h"

namespace pgb::pgwire {
namespace {

std::string two_messages() {
  std::string bytes;
  encode(bytes, Query{"SELECT 1"});
  encode_empty(bytes, fe::kSync);
  return bytes;
}

TEST(Framer, CutsMessagesFedByteByByte) {
  Framer framer;
  std::string tags;
  std::string raw;
  for (char c : two_messages()) {
    framer.feed(std::string_view(&c, 1));
    for (Step step = framer.next(); step.kind == Step::Kind::kMessage; step = framer.next()) {
      tags.push_back(step.tag);
      raw += step.raw;
    }
  }
  EXPECT_EQ(tags, "QS");
  EXPECT_EQ(raw, two_messages());
  EXPECT_TRUE(framer.at_boundary());
}

TEST(Framer, CutsMessagesThatCameTogether) {
  Framer framer;
  framer.feed(two_messages());
  Step first = framer.next();
  ASSERT_EQ(first.kind, Step::Kind::kMessage);
  EXPECT_EQ(decode_query(first.payload)->sql, "SELECT 1");
  EXPECT_EQ(framer.next().tag, 'S');
  Step none = framer.next();
  EXPECT_EQ(none.kind, Step::Kind::kNeedMore);
  EXPECT_EQ(none.missing, 5u);
}

TEST(Framer, SaysHowMuchOfAMessageIsMissing) {
  Framer framer;
  framer.feed(two_messages().substr(0, 7));
  Step step = framer.next();
  EXPECT_EQ(step.kind, Step::Kind::kHeader);
  EXPECT_EQ(step.tag, 'Q');
  EXPECT_EQ(step.total, 14u);
  EXPECT_EQ(step.missing, 7u);
}

TEST(Framer, StreamsAHugeMessageWithoutBufferingIt) {
  std::string bytes;
  encode(bytes, CopyData{std::string(100000, 'x')});
  encode_empty(bytes, fe::kCopyDone);
  Framer framer;
  std::string relayed;
  size_t most = 0;
  for (size_t at = 0; at < bytes.size(); at += 1000) {
    framer.feed(std::string_view(bytes).substr(at, 1000));
    for (Step step = framer.next(); step.kind != Step::Kind::kNeedMore; step = framer.next()) {
      ASSERT_NE(step.kind, Step::Kind::kBad);
      if (step.kind == Step::Kind::kHeader) {
        framer.stream();
        continue;
      }
      relayed += step.raw;
    }
    most = std::max(most, framer.buffered());
  }
  EXPECT_EQ(relayed, bytes);
  EXPECT_LT(most, 1000u);
  EXPECT_TRUE(framer.at_boundary());
}

TEST(Framer, RefusesImpossibleAndOversizedLengths) {
  Framer low;
  low.feed(std::string("Q\0\0\0\3", 5));
  EXPECT_EQ(low.next().kind, Step::Kind::kBad);
  EXPECT_EQ(low.next().kind, Step::Kind::kBad);
  EXPECT_FALSE(low.error().empty());
  Framer high(10);
  high.feed(std::string("Q\0\0\0\017", 5));
  EXPECT_EQ(high.next().kind, Step::Kind::kBad);
  Framer exact(10);
  exact.feed(std::string("Q\0\0\0\016", 5));
  EXPECT_EQ(exact.next().kind, Step::Kind::kHeader);
}

}  // namespace
}  // namespace pgb::pgwire
