// The server's side of the protocol at the console: simple queries and the extended protocol, without I/O. Commands
// take no parameters; portals may be read in pieces.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "pgwire/framer.h"
#include "pgwire/messages.h"
#include "proxy/console.h"

namespace pgb::proxy {

// Appends a whole answer to a simple query, but for ReadyForQuery.
void encode_answer(std::string& out, const ConsoleAnswer& answer);

class ConsoleTalk {
 public:
  // `describe`: what a command will answer, without its rows.
  using Describe = std::function<ConsoleAnswer(std::string_view text)>;
  explicit ConsoleTalk(Describe describe) : describe_(std::move(describe)) {}

  void feed(std::string_view bytes) { framer_.feed(bytes); }
  enum class Next : uint8_t {
    kMore,    // everything that came is dealt with
    kAsk,     // text() is to be run; answer() it before next() is called again
    kEnd,     // the client said goodbye
    kBroken,  // error() says why
  };
  Next next();
  const std::string& text() const { return text_; }
  void answer(ConsoleAnswer answer);
  std::string take_output() { return std::exchange(out_, {}); }
  const std::string& error() const { return error_; }
  size_t buffered() const { return framer_.buffered(); }

 private:
  static constexpr size_t kLongestMessage = 65536;
  static constexpr size_t kMostNames = 1000;  // of statements, and of portals

  struct Portal {
    std::string text;
    std::vector<int16_t> formats;
    bool ran = false;
    ConsoleAnswer answer;
    size_t told = 0;  // of its rows
  };
  enum class Answered : uint8_t { kQuery, kExecute };

  // Each gives false if the message could not be read.
  bool message(const pgwire::Step& step, bool& ask);
  bool query(std::string_view payload, bool& ask);
  bool parse(std::string_view payload);
  bool bind(std::string_view payload);
  bool describe(std::string_view payload);
  bool execute(std::string_view payload, bool& ask);
  bool close(std::string_view payload);
  void sync();
  void tell(Portal& portal);
  void refuse(std::string_view sqlstate, const std::string& message, const std::string& detail = {});
  void refuse(const pgwire::ErrorResponse& error);
  void note_transaction(const std::string& tag);
  void ready();

  const Describe describe_;
  pgwire::Framer framer_{kLongestMessage};
  std::map<std::string, std::string> statements_;  // name to text
  std::map<std::string, Portal> portals_;
  Answered answered_ = Answered::kQuery;
  std::string portal_;  // that is executed
  uint32_t max_rows_ = 0;
  bool skipping_ = false;  // an error: up to Sync nothing is looked at
  pgwire::TxnStatus status_ = pgwire::TxnStatus::kIdle;
  std::string text_, out_, error_;
};

}  // namespace pgb::proxy
