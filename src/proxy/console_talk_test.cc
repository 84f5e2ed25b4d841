#include "proxy/console_talk.h"

#include <gtest/gtest.h>

namespace pgb::proxy {
namespace {

using Next = ConsoleTalk::Next;

ConsoleAnswer describe(std::string_view text) {
  ConsoleAnswer answer;
  if (text == "bad") {
    answer.error.emplace();
    answer.error->message = "bad";
  } else if (!text.empty()) {
    answer.tag = "SHOW";
    answer.columns = {{"name"}, {"items", ConsoleColumn::Type::kInt}, {"bytes", ConsoleColumn::Type::kBigint}};
  }
  return answer;
}

// What the client sees: a letter for each message, and the text that is asked for in brackets.
class Client {
 public:
  template <class Message>
  Client& send(const Message& message) {
    pgwire::encode(bytes_, message);
    return *this;
  }
  Client& send(char tag) {
    pgwire::encode_empty(bytes_, tag);
    return *this;
  }
  std::string sees() {
    talk_.feed(std::exchange(bytes_, {}));
    std::string seen;
    for (;;) {
      const Next next = talk_.next();
      seen += letters(talk_.take_output());
      if (next == Next::kMore) return seen;
      if (next == Next::kEnd) return seen + " end";
      if (next == Next::kBroken) return seen + " broken: " + talk_.error();
      seen += "[" + talk_.text() + "]";
      ConsoleAnswer answer = describe(talk_.text());
      if (!answer.columns.empty()) answer.rows = {{"a", "1", "2"}, {std::nullopt, "3", "4"}};
      talk_.answer(std::move(answer));
    }
  }
  std::string raw;  // all of it

 private:
  std::string letters(const std::string& bytes) {
    raw += bytes;
    pgwire::Framer framer;
    framer.feed(bytes);
    std::string out;
    for (pgwire::Step step = framer.next(); step.kind == pgwire::Step::Kind::kMessage; step = framer.next())
      out += step.tag;
    return out;
  }
  std::string bytes_;
  ConsoleTalk talk_{describe};
};

TEST(ConsoleTalk, ASimpleQueryIsAnsweredWithItsRows) {
  EXPECT_EQ(Client().send(pgwire::Query{"SHOW LISTS"}).sees(), "[SHOW LISTS]TDDCZ");
  EXPECT_EQ(Client().send(pgwire::Query{""}).sees(), "[]IZ");
  EXPECT_EQ(Client().send(pgwire::Query{"bad"}).send(pgwire::Query{"x"}).sees(), "[bad]EZ[x]TDDCZ");
}

TEST(ConsoleTalk, TheExtendedProtocolGivesTheSame) {
  Client client;
  client.send(pgwire::Parse{"s", "SHOW LISTS", {}}).send(pgwire::Describe{pgwire::Target::kStatement, "s"});
  EXPECT_EQ(client.send('S').sees(), "1tTZ");
  client.send(pgwire::Bind{"", "s", {}, {}, {}}).send(pgwire::Describe{pgwire::Target::kPortal, ""});
  EXPECT_EQ(client.send(pgwire::Execute{"", 0}).send('S').sees(), "2T[SHOW LISTS]DDCZ");
  client.send(pgwire::Close{pgwire::Target::kStatement, "s"}).send(pgwire::Bind{"", "s", {}, {}, {}});
  EXPECT_EQ(client.send(pgwire::Execute{"", 0}).send('S').sees(), "3EZ");
}

TEST(ConsoleTalk, AnErrorSkipsUpToSync) {
  Client client;
  client.send(pgwire::Parse{"", "bad", {}}).send(pgwire::Bind{"", "", {}, {}, {}}).send(pgwire::Execute{"", 0});
  EXPECT_EQ(client.send('S').send(pgwire::Query{"x"}).sees(), "EZ[x]TDDCZ");
  client.send(pgwire::Parse{"", "x", {}}).send(pgwire::Bind{"", "", {}, {{"parameter"}}, {}});
  EXPECT_EQ(client.send('S').sees(), "1EZ");
}

TEST(ConsoleTalk, APortalMayBeReadInPieces) {
  Client client;
  client.send(pgwire::Parse{"", "x", {}}).send(pgwire::Bind{"p", "", {}, {}, {}}).send(pgwire::Execute{"p", 1});
  client.send(pgwire::Execute{"p", 1}).send(pgwire::Execute{"p", 1});
  EXPECT_EQ(client.send('S').sees(), "12[x]DsDCCZ");
}

TEST(ConsoleTalk, NumbersComeInBinaryIfTheyAreWantedSo) {
  Client client;
  client.send(pgwire::Parse{"", "x", {}}).send(pgwire::Bind{"", "", {}, {}, {1}}).send(pgwire::Execute{"", 1});
  EXPECT_EQ(client.send('H').sees(), "12[x]Ds");
  const std::string row("\0\3\0\0\0\1a\0\0\0\4\0\0\0\1\0\0\0\10\0\0\0\0\0\0\0\2", 27);
  EXPECT_NE(client.raw.find(row), std::string::npos);
  client.send('S').send(pgwire::Parse{"", "x", {}}).send(pgwire::Bind{"", "", {}, {}, {7}});
  EXPECT_EQ(client.send('S').sees(), "Z1EZ");
}

TEST(ConsoleTalk, WhatIsNoMessageEndsIt) {
  EXPECT_EQ(Client().send('X').sees(), " end");
  EXPECT_NE(Client().send('!').sees().find("broken: invalid frontend message type"), std::string::npos);
  EXPECT_NE(Client().send(pgwire::Query{std::string(70000, 'x')}).sees().find("broken"), std::string::npos);
  EXPECT_NE(Client().send('B').sees().find("broken"), std::string::npos);
}

}  // namespace
}  // namespace pgb::proxy
