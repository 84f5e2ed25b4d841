// pgpool-II's PCP protocol, the server's side, without I/O: what its pcp_* commands ask, and our answers in its words.
// A packet is a letter, its length (four bytes, most significant first, themselves included), and texts that end with
// zero bytes. Source: pgpool-II's documentation of its commands, and how its clients of 4.3 and later read the answers.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "control/commands.h"
#include "control/pcp_users.h"
#include "control/views.h"

namespace pgb::control {

struct PcpPacket {
  char kind = 0;
  std::string payload;
};

// Cuts bytes into packets.
class PcpFramer {
 public:
  void feed(std::string_view bytes) { buffer_ += bytes; }
  // Nothing: more is needed, or broken().
  std::optional<PcpPacket> next();
  bool broken() const { return broken_; }

 private:
  static constexpr size_t kLongest = 10'000;  // as pgpool-II has it
  std::string buffer_;
  bool broken_ = false;
};

class PcpTalk {
 public:
  struct Surroundings {
    const Actions& actions;
    std::function<PcpUsers()> users;                  // as they are at the moment
    std::function<Rows(std::string_view view)> show;  // rows of one of pgpool_views()
    bool old_node_info = false;                       // as clients before 4.4 read it
  };
  explicit PcpTalk(Surroundings surroundings);

  static constexpr char kLogin = 'R';  // the kind of a packet that proves who it is
  // What is said instead of looking at one. It ends the talk.
  std::string refuse_login(std::chrono::duration<double> until_next);
  // May take as long as a command does. The answer may be empty.
  std::string answer(const PcpPacket& packet);
  bool ended() const { return ended_; }      // nothing more is to be read
  bool refused() const { return refused_; }  // by a wrong password
  const std::string& user() const { return user_; }

 private:
  std::string authenticate(std::string_view payload);
  std::string request(const PcpPacket& packet);
  std::string node_info(std::string_view payload) const;
  std::string health_check_stats(std::string_view payload) const;
  std::string process_info(std::string_view payload) const;
  std::string pool_status() const;
  std::string watchdog_info(std::string_view payload) const;
  // `wait`: seconds; null: none.
  std::string on_node(char kind, std::string_view payload, std::string_view name, const char* wait = nullptr) const;
  std::string stop(std::string_view payload) const;
  std::string command(char kind, std::string_view name, const Arguments& arguments = {}) const;

  const Surroundings around_;
  std::string salt_;
  std::string user_;
  bool logged_in_ = false, ended_ = false, refused_ = false;
};

}  // namespace pgb::control
