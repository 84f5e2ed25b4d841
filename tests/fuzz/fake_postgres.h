// A server as far as the session fuzzer needs one: the protocol's rules, transactions, parameters, and whose they are.
// Every statement of a client carries its mark ("t0" …), and every row says whose statement it answers. Aborts when the
// server is used in a way in which no server may be shared.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <map>
#include <string>
#include <string_view>

namespace pgb::fuzz {

inline void append_number(std::string& out, uint32_t value, int bytes) {
  for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8) out += static_cast<char>(value >> shift & 0xff);
}

inline std::string message(char tag, std::string_view body) {
  std::string out(1, tag);
  append_number(out, static_cast<uint32_t>(body.size() + 4), 4);
  out += body;
  return out;
}

inline uint32_t number_at(std::string_view bytes, size_t at) {
  uint32_t value = 0;
  for (size_t i = at; i < at + 4; ++i) value = value << 8 | static_cast<uint8_t>(bytes[i]);
  return value;
}

// The first whole message; empty if there is none. `broken`: what is there can be none.
inline std::string_view first_message(std::string_view bytes, bool& broken) {
  if (bytes.size() < 5) return {};
  const size_t total = size_t{number_at(bytes, 1)} + 1;
  broken = total < 5 || total > (1u << 30);
  return broken || bytes.size() < total ? std::string_view() : bytes.substr(0, total);
}

[[noreturn]] inline void found(const std::string& what) {
  std::cerr << "FINDING: " << what << "\n";
  std::abort();
}

// "t0" in: SELECT 't0' …, BEGIN /*t0*/; empty if there is none.
inline std::string mark_in(std::string_view text) {
  for (size_t i = 0; i + 2 < text.size(); ++i) {
    const bool before = text[i] == '\'' || text[i] == '*';
    if (before && text[i + 1] == 't' && text[i + 2] >= '0' && text[i + 2] <= '9')
      return std::string(text.substr(i + 1, 2));
  }
  return {};
}

class FakePostgres {
 public:
  explicit FakePostgres(bool& honest) : honest_(honest) {}

  std::string out;  // what it says
  bool wants_close = false;

  void take(std::string_view bytes) {
    in_ += bytes;
    size_t at = 0;
    while (!wants_close) {
      const std::string_view rest = std::string_view(in_).substr(at);
      const size_t used = started_ ? next(rest) : start(rest);
      if (used == 0) break;
      at += used;
    }
    in_.erase(0, at);
  }

  std::string describe() const {
    return std::string(1, status_) + " of " + owner_ + (started_ ? "" : ", not started") +
           (copying_ ? ", in COPY" : "") + (skipping_ ? ", skipping" : "") + (implicit_ ? ", not synced" : "") +
           (out.empty() ? "" : ", has more to say");
  }

 private:
  struct Portal {
    std::string text, mark;
  };

  size_t start(std::string_view bytes) {
    if (bytes.size() < 8 || bytes.size() < number_at(bytes, 0)) return 0;
    const uint32_t code = number_at(bytes, 4);
    if (code != 196608) {  // a cancel request
      wants_close = true;
      return bytes.size();
    }
    started_ = true;
    out += message('R', std::string(4, '\0'));
    out += message('S', std::string("client_encoding\0UTF8\0", 21)) +
           message('S', std::string("standard_conforming_strings\0on\0", 31));
    out += message('K', std::string("\0\0\0\7key!", 8));
    ready();
    return number_at(bytes, 0);
  }

  size_t next(std::string_view bytes) {
    bool broken = false;
    const std::string_view one = first_message(bytes, broken);
    if (broken) wants_close = true;
    if (one.empty()) return 0;
    handle(one[0], std::string(one.substr(5)));
    return one.size();
  }

  void ready() { out += message('Z', std::string_view(&status_, 1)); }
  void complete(std::string_view what) { out += message('C', std::string(what) + '\0'); }
  void error(std::string_view state) {
    out += message('E', std::string("SERROR\0VERROR\0C", 15) + std::string(state) + std::string("\0Mno\0", 5) + '\0');
    if (status_ == 'T') status_ = 'E';
    copying_ = implicit_ = false;
  }
  void skip(std::string_view state) {
    error(state);
    skipping_ = true;
  }

  bool is_clean() const { return status_ == 'I' && !implicit_ && !skipping_ && !copying_ && pins_.empty(); }

  // Somebody's statement has come.
  void used_by(const std::string& mark) {
    if (!honest_) return;
    if (mark.empty()) {  // a text that all have in common: whose it is shows with what follows
      if (is_clean()) owner_.clear();
      return;
    }
    if (!owner_.empty() && owner_ != mark && !is_clean()) {
      found("the server of " + owner_ + " serves " + mark + ": status " + status_ + (implicit_ ? ", not synced" : "") +
            (skipping_ ? ", skipping" : "") + (copying_ ? ", in COPY" : "") + (pins_.empty() ? "" : ", pinned"));
    }
    if (!parameter_.empty() && mark_in("'" + parameter_) != mark) found(mark + " has the parameter " + parameter_);
    owner_ = mark;
  }

  // A question of the balancer's own.
  void used_by_balancer(const std::string& text) const {
    if (!honest_ || text == "ROLLBACK" || text.empty()) return;
    if (status_ != 'I' || implicit_ || skipping_ || copying_) found("asked in somebody's transaction: " + text);
  }

  static bool has(std::string_view text, std::string_view what) { return text.find(what) != std::string_view::npos; }
  static bool begins(std::string_view text, std::string_view what) { return text.substr(0, what.size()) == what; }

  void set_parameters(std::string_view text) {
    if (has(text, "RESET ALL") || has(text, "RESET \"work_mem\"") || begins(text, "RESET work_mem")) parameter_.clear();
    const std::string_view call = "set_config('work_mem', '", assigned = "SET work_mem = '";
    for (const std::string_view way : {call, assigned}) {
      const size_t at = text.find(way);
      if (at == std::string_view::npos) continue;
      const std::string_view rest = text.substr(at + way.size());
      parameter_ = rest.substr(0, rest.find('\''));
    }
  }

  void forget_all() {
    prepared_.clear();
    portals_.clear();
    parameter_.clear();
    pins_.clear();
  }

  void rows(const std::string& mark, bool many) {
    std::string body;
    append_number(body, 1, 2);
    append_number(body, static_cast<uint32_t>(mark.size()), 4);
    for (int i = 0; i < (many ? 20 : 1); ++i) out += message('D', body + mark);
  }

  void truth() {
    const auto row = [this](std::string_view kind, std::string_view name, std::string_view value) {
      std::string body;
      append_number(body, 3, 2);
      for (const std::string_view field : {kind, name, value}) {
        append_number(body, static_cast<uint32_t>(field.size()), 4);
        body += field;
      }
      out += message('D', body);
    };
    if (!pins_.empty()) row("pin", pins_, "");
    if (!parameter_.empty()) row("set", "work_mem", parameter_);
    complete("SELECT 1");
  }

  // False: it failed.
  bool run(const std::string& text, const std::string& mark, bool described) {
    if (status_ == 'E' && !begins(text, "ROLLBACK") && !begins(text, "COMMIT")) return false;
    if (has(text, "1/0")) return false;
    if (text.empty()) return out += message('I', ""), true;
    if (begins(text, "BEGIN")) {
      if (status_ == 'I') before_ = parameter_;
      status_ = 'T';
      complete("BEGIN");
    } else if (begins(text, "COMMIT") || begins(text, "ROLLBACK")) {
      if (status_ != 'I' && (status_ == 'E' || begins(text, "ROLLBACK"))) parameter_ = before_;
      status_ = 'I';
      complete("ROLLBACK");
    } else if (begins(text, "DISCARD ALL")) {
      if (status_ != 'I') return false;
      forget_all();
      complete("DISCARD ALL");
    } else if (begins(text, "DEALLOCATE ALL")) {
      prepared_.clear();
      complete("DEALLOCATE ALL");
    } else if (begins(text, "SELECT 'pin'") || has(text, "pgbalancer.statement_timeout")) {
      truth();
    } else if (begins(text, "COPY") && has(text, "FROM STDIN")) {
      out += message('G', std::string(3, '\0'));
      copying_ = true;
    } else if (begins(text, "COPY")) {
      out += message('H', std::string(3, '\0')) + message('d', mark + "\n") + message('c', "");
      complete("COPY 1");
    } else if (begins(text, "CREATE TEMP")) {
      pins_ = "it has temporary objects";
      complete("CREATE TABLE");
    } else if (begins(text, "SELECT") && !has(text, "set_config")) {
      if (!described) out += message('T', std::string("\0\1x\0\0\0\0\0\0\0\0\0\0\31\377\377\377\377\377\377\0\0", 22));
      rows(mark, has(text, "many"));
      complete("SELECT 1");
    } else {
      set_parameters(text);
      complete("SET");
    }
    return true;
  }

  void query(const std::string& text) {
    const std::string mark = mark_in(text);
    const bool ours = mark.empty() || has(text, "pg_catalog.set_config") || begins(text, "SELECT 'pin'");
    if (ours) {
      used_by_balancer(text);
    } else {
      used_by(mark);
    }
    prepared_.erase("");
    implicit_ = false;
    copies_simply_ = true;
    if (!run(text, mark, false)) error("22012");
    if (copying_) return;
    if (status_ == 'I') portals_.clear();
    ready();
  }

  void parse(const std::string& body) {
    const std::string name = body.c_str();
    const std::string text = name.size() + 1 < body.size() ? body.c_str() + name.size() + 1 : "";
    used_by(mark_in(text));
    implicit_ = status_ == 'I';
    if (status_ == 'E' && !begins(text, "ROLLBACK")) return skip("25P02");
    if (!name.empty() && prepared_.count(name) != 0) return skip("42P05");
    prepared_[name] = text;
    out += message('1', "");
  }

  void bind(const std::string& body) {
    const std::string portal = body.c_str();
    const std::string name = portal.size() + 1 < body.size() ? body.c_str() + portal.size() + 1 : "";
    const std::string mark = mark_in(body);  // in the value of the parameter
    used_by(mark);
    implicit_ = status_ == 'I';
    const auto statement = prepared_.find(name);
    if (statement == prepared_.end()) return skip("26000");
    const std::string of_text = mark_in(statement->second);
    if (honest_ && !of_text.empty() && of_text != mark) found(mark + " binds the statement of " + of_text);
    if (status_ == 'E' && !begins(statement->second, "ROLLBACK")) return skip("25P02");
    portals_[portal] = {statement->second, mark};
    out += message('2', "");
  }

  void describe(const std::string& body) {
    implicit_ = status_ == 'I';
    const std::string name = body.substr(std::min<size_t>(1, body.size())).c_str();
    const bool statement = !body.empty() && body[0] == 'S';
    const auto made = prepared_.find(name);
    const auto bound = portals_.find(name);
    if (statement ? made == prepared_.end() : bound == portals_.end()) return skip("26000");
    if (statement) out += message('t', std::string(2, '\0'));
    const bool returns = begins(statement ? made->second : bound->second.text, "SELECT");
    out += returns ? message('T', std::string("\0\1x\0\0\0\0\0\0\0\0\0\0\31\377\377\377\377\377\377\0\0", 22))
                   : message('n', "");
  }

  void execute(const std::string& body) {
    implicit_ = status_ == 'I';
    const auto portal = portals_.find(body.c_str());
    if (portal == portals_.end()) return skip("34000");
    const Portal one = portal->second;
    copies_simply_ = false;
    if (begins(one.text, "DISCARD ALL") && status_ == 'I') implicit_ = false;
    if (!run(one.text, one.mark, true)) return skip("22012");
  }

  void in_copy(char tag) {
    if (tag == 'c') {
      copying_ = false;
      complete("COPY 1");
      if (copies_simply_) ready();
    } else if (tag == 'f') {
      if (copies_simply_) {
        error("57014");
        ready();
      } else {
        skip("57014");
      }
    } else if (tag == 'X') {
      wants_close = true;
    }
  }

  void handle(char tag, const std::string& body) {
    if (copying_) return in_copy(tag);
    if (skipping_ && tag != 'S' && tag != 'X') return;
    switch (tag) {
      case 'Q': return query(body.c_str());
      case 'P': return parse(body);
      case 'B': return bind(body);
      case 'D': return describe(body);
      case 'E': return execute(body);
      case 'C':
        if (!body.empty()) (body[0] == 'S' ? prepared_.erase(&body[1]) : portals_.erase(&body[1]));
        out += message('3', "");
        return;
      case 'S':
        skipping_ = implicit_ = false;
        if (status_ == 'I') portals_.clear();
        return ready();
      case 'F': out += message('V', std::string(4, '\377')); return ready();
      case 'X': wants_close = true; return;
      default: return;
    }
  }

  bool& honest_;
  std::string in_;
  bool started_ = false;
  char status_ = 'I';
  bool implicit_ = false;  // messages came since the last Sync
  bool skipping_ = false;
  bool copying_ = false;
  bool copies_simply_ = true;
  std::string owner_, parameter_, before_, pins_;
  std::map<std::string, std::string> prepared_;
  std::map<std::string, Portal> portals_;
};

}  // namespace pgb::fuzz
