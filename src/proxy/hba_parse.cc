// Reads the text of a pg_hba.conf: lines into fields into rules. What PostgreSQL has and we have not is a mistake that
// says so: a rule that is silently left out would let in, or keep out, somebody else.
#include <algorithm>
#include <optional>

#include "base/strings.h"
#include "proxy/hba_rules.h"

namespace pgb::proxy {
namespace {

using Name = HbaRule::Name;
using Field = std::vector<Name>;  // its parts between commas

constexpr char kMethods[] = "scram-sha-256, md5, cert, trust and reject";

bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r'; }

struct Line {
  size_t number = 0;
  std::string text;
};

// Lines that end in a backslash go on in the next one.
std::vector<Line> lines_of(std::string_view text) {
  std::vector<Line> lines;
  bool goes_on = false;
  size_t number = 0;
  for (const std::string& raw : split(text, '\n')) {
    ++number;
    std::string line = !raw.empty() && raw.back() == '\r' ? raw.substr(0, raw.size() - 1) : raw;
    const bool more = !line.empty() && line.back() == '\\';
    if (more) line.pop_back();
    if (goes_on) {
      lines.back().text += line;
    } else {
      lines.push_back({number, std::move(line)});
    }
    goes_on = more;
  }
  return lines;
}

// Takes fields off a line.
class Cutter {
 public:
  explicit Cutter(std::string_view line) : rest_(line) {}

  // The next field; empty at the end of the line.
  Field field() {
    Field out;
    bool comma = true;
    while (comma) {
      auto name = token(comma);
      if (!name) break;
      out.push_back(std::move(*name));
    }
    return out;
  }
  bool open_quote() const { return open_quote_; }

 private:
  std::optional<Name> token(bool& comma) {
    comma = false;
    while (!rest_.empty() && (is_blank(rest_[0]) || rest_[0] == ',')) rest_.remove_prefix(1);
    Name name;
    bool any = false;
    bool inside = false;  // of quotes
    for (; !rest_.empty(); rest_.remove_prefix(1)) {
      const char c = rest_[0];
      if (!inside && c == '#') {
        rest_ = {};
        break;
      }
      if (!inside && is_blank(c)) break;
      if (!inside && c == ',') {
        comma = true;
        break;
      }
      if (c != '"') {
        name.text += c;
      } else if (inside && rest_.size() > 1 && rest_[1] == '"') {
        name.text += c;
        rest_.remove_prefix(1);
      } else {
        if (!any) name.quoted = true;
        inside = !inside;
      }
      any = true;
    }
    open_quote_ = open_quote_ || inside;
    return any ? std::optional<Name>(std::move(name)) : std::nullopt;
  }

  std::string_view rest_;
  bool open_quote_ = false;
};

class Reader {
 public:
  Reader(const Line& line, std::vector<std::string>& mistakes) : line_(line), cutter_(line.text), mistakes_(mistakes) {}

  // Nothing for a line without a rule, or with mistakes.
  std::optional<HbaRule> read() {
    const size_t before = mistakes_.size();
    const Field type = cutter_.field();
    if (type.empty()) return std::nullopt;
    rule_.line = line_.number;
    if (!read_type(type)) return std::nullopt;  // what follows may mean anything
    if (read_names("database", rule_.databases) && read_names("user", rule_.users) && read_address() && read_method()) {
      read_options();
      check_certificates();
    }
    if (cutter_.open_quote()) wrong("a double quote is not closed");
    return mistakes_.size() == before ? std::optional<HbaRule>(std::move(rule_)) : std::nullopt;
  }

 private:
  bool wrong(const std::string& what) {
    mistakes_.push_back("line " + std::to_string(line_.number) + ": " + what);
    return false;
  }
  static std::string shown(const std::string& text) {
    std::string out = "\"" + text.substr(0, 64) + "\"";
    std::replace_if(
        out.begin(), out.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; }, '?');
    return out;
  }

  bool read_type(const Field& field) {
    if (field.size() > 1) return wrong("the connection type must be one word, not a list");
    const std::string& type = field[0].text;
    if (type == "host" || type == "hostnogssenc") return true;  // no connection here is encrypted by GSSAPI
    if (type == "hostssl") {
      rule_.transport = HbaRule::Transport::kTls;
      return true;
    }
    if (type == "hostnossl") {
      rule_.transport = HbaRule::Transport::kPlain;
      return true;
    }
    if (type == "local") {
      return wrong(
          "\"local\" is for Unix sockets, and the balancer listens on none; for clients on this machine write "
          "\"host\" with the address samehost");
    }
    if (type == "hostgssenc") return wrong("\"hostgssenc\": the balancer has no GSSAPI encryption; use \"hostssl\"");
    if (type.rfind("include", 0) == 0 || type[0] == '@') {
      return wrong(shown(type) + ": other files are not included; write their rules into this one");
    }
    return wrong("unknown connection type " + shown(type) + "; it must be host, hostssl or hostnossl");
  }

  bool read_names(const std::string& what, std::vector<Name>& out) {
    out = cutter_.field();
    if (out.empty()) return wrong("it ends before the " + what);
    const bool users = what == "user";
    for (const Name& name : out) {
      if (name.quoted) {
        if (name.text.empty()) wrong("the name of a " + what + " must not be empty");
      } else if (name.text[0] == '+' || (!users && (name.text == "samerole" || name.text == "samegroup"))) {
        wrong(shown(name.text) + ": the balancer does not know who is a member of which role; name the users");
      } else if (name.text[0] == '/') {
        wrong(shown(name.text) + ": regular expressions are not supported; write the names, in double quotes if they " +
              "begin with a slash");
      } else if (name.text[0] == '@') {
        wrong(shown(name.text) + ": other files are not included; write the names here");
      }
    }
    return true;
  }

  bool read_address() {
    const Field field = cutter_.field();
    if (field.empty()) return wrong("it ends before the address");
    if (field.size() > 1) return wrong("one address must stand here, not a list; write a line for each");
    const Name& name = field[0];
    if (name.is("all")) return true;
    rule_.range = name.is("samehost")  ? HbaRule::Range::kSameHost
                  : name.is("samenet") ? HbaRule::Range::kSameNet
                                       : HbaRule::Range::kNetwork;
    if (rule_.range != HbaRule::Range::kNetwork) return true;
    const size_t slash = name.text.find('/');
    std::string host = name.text.substr(0, slash), mask;
    if (!net::Address::parse(host, 0) || host == "localhost") {
      return wrong(shown(host) + " is not an IP address; names of hosts are not resolved. Write an address with its " +
                   "mask (10.0.0.0/8), all, samehost or samenet");
    }
    if (slash != std::string::npos) {
      mask = name.text.substr(slash + 1);
      if (!parse_u64(mask)) return wrong("behind the slash of " + shown(name.text) + " must stand a number of bits");
    } else {
      const Field second = cutter_.field();
      if (second.size() != 1 || second[0].text.find_first_of(".:") == std::string::npos) {
        return wrong("the address " + shown(host) + " has no mask; write " + host +
                     (host.find(':') == std::string::npos ? "/32" : "/128") + " for this address alone");
      }
      mask = second[0].text;
    }
    auto network = net::Network::parse(host, mask);
    if (!network) {
      wrong(network.error().message);
    } else {
      rule_.network = *network;
    }
    return true;
  }

  bool read_method() {
    const Field field = cutter_.field();
    if (field.empty()) return wrong("it ends before the method");
    if (field.size() > 1) return wrong("the method must be one word, not a list");
    const std::string& method = field[0].text;
    for (const AuthMethod known :
         {AuthMethod::kReject, AuthMethod::kTrust, AuthMethod::kMd5, AuthMethod::kScram, AuthMethod::kCert}) {
      if (method != to_string(known)) continue;
      rule_.method = known;
      return true;
    }
    if (method == "password") {
      return wrong("the method \"password\" would send the password in clear; use scram-sha-256");
    }
    for (const char* known : {"gss", "sspi", "ident", "peer", "ldap", "radius", "pam", "bsd", "oauth"}) {
      if (method == known)
        return wrong(std::string("the balancer has no method \"") + known + "\"; it has " + kMethods);
    }
    return wrong("unknown method " + shown(method) + "; there are " + kMethods);
  }

  void read_options() {
    for (Field field = cutter_.field(); !field.empty(); field = cutter_.field()) {
      for (const Name& option : field) read_option(option.text);
    }
  }

  void read_option(const std::string& option) {
    const size_t equals = option.find('=');
    if (equals == std::string::npos) {
      wrong("behind the method options must stand as name=value, not " + shown(option));
      return;
    }
    const std::string name = option.substr(0, equals), value = option.substr(equals + 1);
    if (name == "clientcert") {
      if (value == "verify-full") {
        rule_.cert = ClientCert::kUser;
      } else if (value == "verify-ca" && rule_.method == AuthMethod::kCert) {
        wrong("the method cert always compares the name of the user: clientcert=verify-ca does not go with it");
      } else if (value == "verify-ca") {
        rule_.cert = ClientCert::kVerified;
      } else {
        wrong("clientcert must be verify-ca or verify-full, not " + shown(value));
      }
    } else if (name == "map") {
      wrong("user name maps are not supported: the common name of a certificate must be the name of the user");
    } else if (name == "clientname") {
      if (value != "CN") wrong("clientname must be CN: no other name of a certificate is compared");
    } else {
      wrong("unknown option " + shown(name) + "; there is clientcert");
    }
  }

  void check_certificates() {
    if (rule_.transport == HbaRule::Transport::kTls) return;
    if (rule_.method == AuthMethod::kCert) {
      wrong("the method cert needs TLS: the connection type must be hostssl");
    } else if (rule_.cert != ClientCert::kAny) {
      wrong("clientcert needs TLS: the connection type must be hostssl");
    }
  }

  const Line& line_;
  Cutter cutter_;
  std::vector<std::string>& mistakes_;
  HbaRule rule_;
};

}  // namespace

Result<HbaRules> HbaRules::parse(std::string_view text) {
  HbaRules rules;
  std::vector<std::string> mistakes;
  for (const Line& line : lines_of(text)) {
    auto rule = Reader(line, mistakes).read();
    if (!rule) continue;
    rules.own_networks_ =
        rules.own_networks_ || rule->range == HbaRule::Range::kSameHost || rule->range == HbaRule::Range::kSameNet;
    rules.rules_.push_back(std::move(*rule));
  }
  if (mistakes.empty() && rules.rules_.empty()) {
    mistakes.push_back(
        "there is no rule in it, so nobody could log in; leave hba_file out to let everyone in by "
        "scram-sha-256");
  }
  if (mistakes.empty()) return rules;
  Error error(Code::kConfig,
              "the rules have " + std::to_string(mistakes.size()) + (mistakes.size() == 1 ? " mistake" : " mistakes"));
  for (std::string& mistake : mistakes) error.with("mistake", std::move(mistake));
  return error;
}

}  // namespace pgb::proxy
