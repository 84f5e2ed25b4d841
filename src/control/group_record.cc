#include "control/group_record.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/strings.h"
#include "control/leader_watch.h"
#include "dcs/keys.h"

namespace pgb::control {
namespace {

using Json = nlohmann::json;

constexpr char kRoot[] = "/pgbalancer/";         // of all groups, see dcs/keys.h
constexpr std::chrono::milliseconds kWait{500};  // of one question: the store is in this process
constexpr size_t kMostTold = 2000;               // the store keeps 500 lines
constexpr int64_t kLateEpochs = 2;               // so far back a node may still write a line

// A value out of the text's object; nothing if it is none, or holds other things than are asked for.
template <class Read>
auto read_json(std::string_view text, Read read) -> std::optional<decltype(read(Json()))> {
  const Json doc = Json::parse(text, nullptr, false);
  if (!doc.is_object()) return std::nullopt;
  try {
    return read(doc);
  } catch (const Json::exception&) {
    return std::nullopt;
  }
}

}  // namespace

std::string SyncRecord::sentence() const {
  if (durability == "async") return "a commit waits for no replica: what the primary has alone is lost with it";
  if (required == 0) return leader + " is alone: no replica has what is committed now";
  return "each commit is on " + leader + " and on " + std::to_string(required) + " of " + join(members, ", ") +
         " before it is acknowledged";
}

std::optional<MemberRecord> parse_member(std::string_view text) {
  return read_json(text, [](const Json& doc) {
    return MemberRecord{doc.value("state", ""), doc.value("sentence", ""), doc.value("follows", ""),
                        doc.value("streaming", false)};
  });
}

std::optional<SyncRecord> parse_sync(std::string_view text) {
  return read_json(text, [](const Json& doc) {
    return SyncRecord{doc.at("durability").get<std::string>(), doc.at("leader").get<std::string>(),
                      doc.at("members").get<std::vector<std::string>>(), doc.at("required").get<unsigned>()};
  });
}

std::optional<HistoryLine> parse_history(std::string_view text) {
  return read_json(text, [](const Json& doc) {
    return HistoryLine{doc.at("time").get<std::string>(), doc.at("node").get<std::string>(),
                       doc.at("action").get<std::string>(), doc.at("epoch").get<int64_t>(),
                       doc.at("text").get<std::string>()};
  });
}

bool GroupReader::find_root() {
  if (!root_.empty()) return true;
  const std::string middle = "/" + group_ + "/";
  for (const dcs::KeyValue& kv : below(kRoot)) {
    const size_t at = kv.key.find('/', sizeof kRoot - 1);
    if (at == std::string::npos || kv.key.compare(at, middle.size(), middle) != 0) continue;
    root_ = kv.key.substr(0, at + middle.size());
    return true;
  }
  return false;
}

std::vector<dcs::KeyValue> GroupReader::below(const std::string& prefix) {
  auto found = store_.range({prefix, true}, Deadline::after(kWait));
  return found ? std::move(found->kvs) : std::vector<dcs::KeyValue>();
}

std::string GroupReader::value_of(const std::string& key) {
  const auto found = store_.range({key, false}, Deadline::after(kWait));
  return !found || found->kvs.empty() ? "" : found->kvs[0].value;
}

std::optional<GroupRecord> GroupReader::read() {
  if (!find_root()) return std::nullopt;
  GroupRecord record;
  record.leader = parse_leader(value_of(root_ + "leader"));
  if (const auto epoch = parse_leader(value_of(root_ + "epoch"))) record.epoch = epoch->epoch;
  record.sync = parse_sync(value_of(root_ + "sync"));
  for (const dcs::KeyValue& kv : below(root_ + "members/")) {
    if (auto member = parse_member(kv.value)) record.members.emplace(kv.key.substr(kv.key.rfind('/') + 1), *member);
  }
  return record;
}

std::vector<HistoryLine> GroupReader::new_history() {
  if (!find_root()) return {};
  std::vector<dcs::KeyValue> found;
  if (newest_epoch_ < 0) {
    found = below(root_ + "history/");
  } else {
    const auto now = parse_leader(value_of(root_ + "epoch"));
    const int64_t newest = std::max(newest_epoch_, now ? now->epoch : 0);
    const std::string name = root_.substr(sizeof kRoot - 1);
    const dcs::Keys keys(name.substr(0, name.find('/')), group_);
    for (int64_t epoch = std::max<int64_t>(newest_epoch_ - kLateEpochs, 0); epoch <= newest; ++epoch) {
      auto more = below(keys.history_entry(epoch));
      found.insert(found.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
    }
  }
  std::vector<HistoryLine> lines;
  if (told_.size() > kMostTold) told_.erase(told_.begin(), std::next(told_.begin(), kMostTold / 2));  // the oldest
  for (const dcs::KeyValue& kv : found) {
    auto line = parse_history(kv.value);
    if (!line || !told_.insert(kv.key).second) continue;
    newest_epoch_ = std::max(newest_epoch_, line->epoch);
    lines.push_back(std::move(*line));
  }
  std::sort(lines.begin(), lines.end(), [](const auto& a, const auto& b) { return a.time < b.time; });
  return lines;
}

}  // namespace pgb::control
