#include "control/pcp_talk.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/log.h"
#include "base/strings.h"
#include "control/group_roles.h"
#include "control/node_numbers.h"
#include "control/pcp_watchdog.h"
#include "control/text_of.h"
#include "pgwire/digest.h"
#include "pgwire/writer.h"

namespace pgb::control {
namespace {

constexpr size_t kHeader = 5;
constexpr char kDone[] = "CommandComplete";

// A packet of texts.
std::string packet(char kind, const std::vector<std::string>& texts) {
  std::string out;
  pgwire::Writer writer(out);
  writer.begin(kind);
  for (const std::string& text : texts) writer.cstring(text);
  writer.end();
  return out;
}

// pgpool-II's clients take a field's first letter for the kind of another one if it is M, S or D: texts begin in lower
// case.
std::string refusal(const char* severity, const std::string& message, const std::string& detail = {}) {
  std::string out;
  pgwire::Writer writer(out);
  writer.begin('E').cstring(std::string("S") + severity).cstring("M" + message);
  if (!detail.empty()) writer.cstring("D" + detail);
  writer.u8(0).end();
  return out;
}

std::string refusal(const Error& error) {
  std::string detail;
  for (const auto& [label, text] : error.details) detail += (detail.empty() ? "" : "; ") + label + ": " + text;
  return refusal("ERROR", error.message, detail);
}

// The first text of a payload.
std::string_view first_text(std::string_view payload) { return payload.substr(0, payload.find('\0')); }

// A node's number, which may have a blank behind it; -1 stands for all. Nothing if it is none.
std::optional<long> number_of(std::string_view payload) {
  const std::string_view text = trim(first_text(payload));
  if (text == "-1") return -1;
  const auto number = parse_u64(text);
  if (!number || *number > 100'000) return std::nullopt;
  return static_cast<long>(*number);
}

std::string no_node(std::string_view payload, size_t nodes) {
  std::string shown(first_text(payload).substr(0, 20));
  std::replace_if(
      shown.begin(), shown.end(), [](unsigned char c) { return c < 0x20 || c > 0x7e; }, '?');
  return refusal("ERROR", "there is no node of this number",
                 "number: " + shown + "; nodes are counted from 0, and there are " + std::to_string(nodes));
}

}  // namespace

std::optional<PcpPacket> PcpFramer::next() {
  if (broken_ || buffer_.size() < kHeader) return std::nullopt;
  uint32_t length = 0;
  for (size_t i = 1; i < kHeader; ++i) length = length << 8 | static_cast<unsigned char>(buffer_[i]);
  if (length < 4 || length > kLongest) {
    broken_ = true;
    return std::nullopt;
  }
  if (buffer_.size() < size_t{length} + 1) return std::nullopt;
  PcpPacket packet{buffer_[0], buffer_.substr(kHeader, length - 4)};
  buffer_.erase(0, size_t{length} + 1);
  return packet;
}

PcpTalk::PcpTalk(Surroundings surroundings) : around_(std::move(surroundings)) {}

std::string PcpTalk::answer(const PcpPacket& packet_in) {
  if (packet_in.kind == 'M') {
    salt_ = pgwire::random_bytes(4);
    std::string out;
    pgwire::Writer(out).begin('m').bytes(salt_).end();
    return out;
  }
  if (packet_in.kind == kLogin) return authenticate(packet_in.payload);
  if (packet_in.kind == 'X') {
    ended_ = true;
    return {};
  }
  if (!logged_in_) {
    ended_ = true;
    return refusal("FATAL", "authentication failed for new PCP connection", "connection not authorized");
  }
  return request(packet_in);
}

std::string PcpTalk::refuse_login(std::chrono::duration<double> until_next) {
  ended_ = true;
  return refusal("FATAL", "too many logins have failed",
                 "try again in " + std::to_string(static_cast<long>(std::ceil(until_next.count()))) + " s");
}

// A salt is good for one attempt.
std::string PcpTalk::authenticate(std::string_view payload) {
  const std::string name(first_text(payload));
  const std::string_view rest = payload.substr(std::min(payload.size(), name.size() + 1));
  const std::string_view proof = first_text(rest);
  const std::string salt = std::exchange(salt_, {});
  const PcpUsers users = around_.users();
  const auto found = users.find(name);
  // Who is not there costs as much as who is.
  const std::string stored = found == users.end() ? std::string(32, 'x') : found->second.reveal();
  const auto once = pgwire::md5_hex(stored + name);
  const auto wanted = once ? pgwire::md5_hex(*once + salt) : std::nullopt;
  if (!salt.empty() && wanted && found != users.end() && Secret(*wanted).equals(proof)) {
    logged_in_ = true;
    user_ = name;
    return packet('r', {"AuthenticationOK"});
  }
  ended_ = refused_ = true;
  logged_in_ = false;
  if (!wanted) return refusal("FATAL", "there is no MD5 on this machine, which PCP needs");
  return refusal("FATAL", "authentication failed for user \"" + name.substr(0, 63) + "\"",
                 "username and/or password does not match");
}

std::string PcpTalk::request(const PcpPacket& packet_in) {
  const std::string& payload = packet_in.payload;
  const Actions& actions = around_.actions;
  switch (packet_in.kind) {
    case 'L': return packet('l', {kDone, std::to_string(actions.proxy.topology()->nodes.size())});
    case 'I': return node_info(payload);
    case 'H': return health_check_stats(payload);
    case 'N': return packet('n', {kDone, "1", std::to_string(::getpid())});
    case 'P': return process_info(payload);
    case 'B': return pool_status();
    case 'W': return watchdog_info(payload);
    case 'C': return on_node('c', payload, "undrain");
    case 'D': return on_node('d', payload, "drain");
    case 'd': return on_node('d', payload, "drain", "60");
    case 'J':
    case 'j': return on_node('d', payload, "promote");
    case 'O': return on_node('c', payload, "recovery");
    case 'Z': return command('z', "reload");
    case 'V': return command('v', "reopen_log");
    case 'G': return command('g', "invalidate_cache");
    case 'T':
    case 't': return stop(payload);
    case 'A': return refusal("ERROR", "the configuration cannot be set here", "change its file, then reload it");
    default: ended_ = true; return refusal("FATAL", "this command of PCP is not known here");
  }
}

std::string PcpTalk::command(char kind, std::string_view name, const Arguments& arguments) const {
  std::string said(name);
  for (const auto& [key, value] : arguments) said += " " + key + "=" + value;
  log::info("PCP: a command", {{"command", said}, {"user", user_}});
  const auto outcome = run_command(around_.actions, Role::kOperator, name, arguments);
  return outcome ? packet(kind, {kDone}) : refusal(outcome.error());
}

std::string PcpTalk::on_node(char kind, std::string_view payload, std::string_view name, const char* wait) const {
  const auto number = number_of(payload);
  const proxy::TopologyPtr topology = around_.actions.proxy.topology();
  if (!number || *number < 0 || static_cast<size_t>(*number) >= topology->nodes.size())
    return no_node(payload, topology->nodes.size());
  Arguments arguments = {{"node", topology->nodes[static_cast<size_t>(*number)].name}};
  if (wait != nullptr) arguments["wait"] = wait;
  return command(kind, name, arguments);
}

std::string PcpTalk::watchdog_info(std::string_view payload) const {
  if (around_.actions.roles == nullptr) return refusal("ERROR", "no agents choose the primary here");
  const auto now = around_.actions.roles->now();
  if (!now) return refusal(now.error());
  const auto number = number_of(payload);
  return packet('w', {kDone, pcp_watchdog_json(*now, *around_.actions.proxy.topology(), number.value_or(-1))});
}

// "s"mart lets transactions end; "f"ast and "i"mmediate do not.
std::string PcpTalk::stop(std::string_view payload) const {
  const char mode = payload.empty() ? 's' : payload[0];
  return command('t', "shutdown", {{"mode", mode == 's' ? "wait" : "fast"}});
}

std::string PcpTalk::node_info(std::string_view payload) const {
  const auto number = number_of(payload);
  const std::vector<NodeNumbers> nodes = node_numbers(around_.actions.proxy, around_.actions.roles);
  if (!number || (*number >= 0 && static_cast<size_t>(*number) >= nodes.size())) return no_node(payload, nodes.size());
  std::string out = packet('i', {"ArraySize", std::to_string(*number < 0 ? nodes.size() : 1)});
  constexpr double kWeights = 2147483647;  // clients divide by that
  for (const NodeNumbers& node : nodes) {
    if (*number >= 0 && node.id != static_cast<size_t>(*number)) continue;
    constexpr const char *kPrimary = "2", *kStandby = "3";
    std::vector<std::string> texts = {"NodeInfo",
                                      node.view.host,
                                      std::to_string(node.view.port),
                                      std::to_string(node.status_code()),
                                      "0",
                                      node.view.healthy ? "up" : "down",
                                      fixed(node.share * kWeights, 6),
                                      node.is_primary() ? kPrimary : kStandby,
                                      node.pg_role()};
    if (!around_.old_node_info) texts.emplace_back("0");  // the delay is in bytes
    texts.insert(texts.end(), {std::to_string(node.behind()), node.replication_state(), node.replication_sync_state(),
                               std::to_string(node.changed_at())});
    out += packet('i', texts);
  }
  return out + packet('i', {kDone});
}

std::string PcpTalk::health_check_stats(std::string_view payload) const {
  const auto number = number_of(payload);
  const std::vector<NodeNumbers> nodes = node_numbers(around_.actions.proxy);
  if (!number || *number < 0 || static_cast<size_t>(*number) >= nodes.size()) return no_node(payload, nodes.size());
  std::vector<std::string> texts = nodes[static_cast<size_t>(*number)].health_check();
  texts.insert(texts.begin(), kDone);
  return packet('h', texts);
}

std::string PcpTalk::process_info(std::string_view payload) const {
  const std::string_view text = first_text(payload);
  if (text != "0" && !text.empty() && text != std::to_string(::getpid())) {
    return refusal("ERROR", "there is no process of this number",
                   "number of the balancer: " + std::to_string(::getpid()));
  }
  const Rows rows = around_.show("pool_pools");
  std::string out = packet('p', {"ArraySize", std::to_string(rows.size())});
  for (const Row& row : rows) {
    std::vector<std::string> texts = {"ProcessInfo"};
    for (const auto& value : row) texts.push_back(value.value_or(""));
    out += packet('p', texts);
  }
  return out + packet('p', {kDone});
}

std::string PcpTalk::pool_status() const {
  const Rows rows = around_.show("pool_status");
  std::string out;
  pgwire::Writer(out).begin('b').cstring("ArraySize").u32(static_cast<uint32_t>(rows.size())).end();
  for (const Row& row : rows) {
    std::vector<std::string> texts = {"ProcessConfig"};
    for (const auto& value : row) texts.push_back(value.value_or(""));
    out += packet('b', texts);
  }
  return out + packet('b', {kDone});
}

}  // namespace pgb::control
