// Who answers what clients ask of the balancer itself: at the console, which is the database "pgbalancer" (also
// "pgbouncer"), and with pgpool-II's commands in any session. Whoever it is knows no protocol; the proxy knows no
// command.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "pgwire/error_response.h"

namespace pgb::proxy {

inline constexpr char kConsoleDatabase[] = "pgbalancer";
// Exporters of PgBouncer have its console's name built in.
inline bool is_console(std::string_view database) { return database == kConsoleDatabase || database == "pgbouncer"; }

struct ConsoleColumn {
  enum class Type : uint8_t { kText, kInt, kBigint };
  std::string name;
  Type type = Type::kText;
};

struct ConsoleAnswer {
  using Row = std::vector<std::optional<std::string>>;  // numbers in decimal
  std::vector<ConsoleColumn> columns;                   // none: there are no rows to it
  std::vector<Row> rows;
  std::string tag;                             // of CommandComplete; empty: there was no command
  std::string notice;                          // for people, told before; its first line is the message
  std::optional<pgwire::ErrorResponse> error;  // then nothing else counts
};

struct ConsoleAsker {
  std::string user;
  std::string address;
  bool at_console = true;  // false: in a session of some database
};

class Console {
 public:
  using Done = std::function<void(ConsoleAnswer)>;

  virtual ~Console() = default;
  virtual bool is_open() const = 0;  // false: nobody may use it, its database is one like any other
  virtual bool lets_in(const std::string& user) const = 0;
  // What ask() will answer, without its rows; nothing is done. Does not wait.
  virtual ConsoleAnswer describe(const ConsoleAsker& asker, std::string_view text) const = 0;
  // Does it. Returns at once; `done` is called once, on any thread.
  virtual void ask(const ConsoleAsker& asker, const std::string& text, Done done) = 0;
};
using ConsolePtr = std::shared_ptr<Console>;

// The one there is at the moment. Thread-safe.
class CurrentConsole {
 public:
  void set(ConsolePtr console) {
    const std::lock_guard lock(mutex_);
    console_ = std::move(console);
  }
  ConsolePtr get() const {  // null: there is none
    const std::lock_guard lock(mutex_);
    return console_;
  }

 private:
  mutable std::mutex mutex_;
  ConsolePtr console_;  // guarded by mutex_
};

}  // namespace pgb::proxy
