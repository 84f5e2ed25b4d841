#include "agent/records.h"

#include <algorithm>
#include <chrono>
#include <ctime>
#include <nlohmann/json.hpp>

namespace pgb::agent {

using nlohmann::json;

namespace {

// In the order of ha::Request::Kind.
constexpr std::string_view kKinds[] = {"switchover", "failover", "reinit", "resume"};

// What a reader has to give back a value for; a text that it does not understand gives nothing.
template <class Read>
auto read_json(const std::string& text, Read read) -> std::optional<decltype(read(json()))> {
  const json doc = json::parse(text, nullptr, false);
  if (!doc.is_object()) return std::nullopt;
  try {
    return read(doc);
  } catch (const json::exception&) {
    return std::nullopt;
  }
}

const char* text_of(ha::Durability durability) {
  if (durability == ha::Durability::kAsync) return "async";
  return durability == ha::Durability::kStrict ? "strict" : "quorum";
}

ha::Durability durability_of(const std::string& text) {
  if (text == "async") return ha::Durability::kAsync;
  return text == "strict" ? ha::Durability::kStrict : ha::Durability::kQuorum;
}

ha::NodeView read_node(const json& doc) {
  ha::NodeView node;
  doc.at("name").get_to(node.name);
  node.server = static_cast<ha::Server>(doc.at("server").get<int>());
  node.health = static_cast<ha::Health>(doc.at("health").get<int>());
  doc.at("system_id").get_to(node.system_id);
  if (doc.contains("flushed")) {
    node.flushed = ha::Position{doc.at("timeline").get<ha::Timeline>(), doc.at("flushed").get<ha::Lsn>()};
  }
  if (doc.contains("was_at")) node.was_at = ha::Position{doc["was_at"].at(0), doc["was_at"].at(1)};
  doc.at("replayed").get_to(node.replayed);
  for (const json& fork : doc.at("history")) {
    node.history.push_back({fork.at(0).get<ha::Timeline>(), fork.at(1).get<ha::Lsn>()});
  }
  doc.at("epoch").get_to(node.epoch);
  doc.at("promised").get_to(node.promised);
  doc.at("led").get_to(node.led);
  if (doc.contains("follows")) {
    node.following = ha::Following{doc.at("follows").get<std::string>(), doc.at("follows_epoch").get<ha::Epoch>()};
  }
  doc.at("streaming").get_to(node.streaming);
  node.trouble = static_cast<ha::Trouble>(doc.at("trouble").get<int>());
  doc.at("failed_rewinds").get_to(node.failed_rewinds);
  doc.at("failed_starts").get_to(node.failed_starts);
  node.failed_promotions = doc.value("failed_promotions", 0);
  doc.at("free_disk").get_to(node.free_disk);
  doc.at("priority").get_to(node.priority);
  doc.at("refused").get_to(node.refused);
  return node;
}

std::string utc_now() {
  const auto now = std::chrono::system_clock::now();
  const std::time_t seconds = std::chrono::system_clock::to_time_t(now);
  const auto millis = std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch()).count() % 1000;
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  char text[40];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
  char all[48];
  std::snprintf(all, sizeof all, "%s.%03dZ", text, static_cast<int>(millis));
  return all;
}

}  // namespace

std::string to_json(const Publication& publication) {
  const ha::NodeView& node = publication.node;
  json doc{{"name", node.name},
           {"server", static_cast<int>(node.server)},
           {"health", static_cast<int>(node.health)},
           {"system_id", node.system_id},
           {"replayed", node.replayed},
           {"history", json::array()},
           {"epoch", node.epoch},
           {"promised", node.promised},
           {"led", node.led},
           {"streaming", node.streaming},
           {"trouble", static_cast<int>(node.trouble)},
           {"failed_rewinds", node.failed_rewinds},
           {"failed_starts", node.failed_starts},
           {"failed_promotions", node.failed_promotions},
           {"free_disk", node.free_disk},
           {"priority", node.priority},
           {"refused", node.refused},
           {"state", publication.state},
           {"sentence", publication.sentence}};
  if (node.flushed) doc["flushed"] = node.flushed->lsn, doc["timeline"] = node.flushed->timeline;
  if (!publication.commits_wait.empty()) doc["commits_wait"] = publication.commits_wait;
  if (node.was_at) doc["was_at"] = {node.was_at->timeline, node.was_at->lsn};
  if (node.following) doc["follows"] = node.following->leader, doc["follows_epoch"] = node.following->epoch;
  for (const ha::Fork& fork : node.history) doc["history"].push_back({fork.timeline, fork.begin});
  return doc.dump(-1, ' ', false, json::error_handler_t::replace);
}

std::optional<Publication> parse_publication(const std::string& text) {
  return read_json(text, [](const json& doc) {
    return Publication{read_node(doc), doc.value("state", ""), doc.value("sentence", ""),
                       doc.value("commits_wait", "")};
  });
}

std::string to_json(const ha::LeaderKey& leader) {
  return json{{"holder", leader.holder}, {"epoch", leader.epoch}}.dump();
}

std::string to_json(const ha::EpochRecord& epoch) {
  return json{
      {"epoch", epoch.epoch}, {"holder", epoch.holder}, {"timeline", epoch.timeline}, {"system_id", epoch.system_id}}
      .dump();
}

std::string to_json(const ha::SyncRecord& sync) {
  return json{{"leader", sync.leader},       {"epoch", sync.epoch},           {"durability", text_of(sync.durability)},
              {"members", sync.set.members}, {"required", sync.set.required}, {"heirs", sync.heirs}}
      .dump();
}

std::optional<ha::LeaderKey> read_leader(const dcs::KeyValue& kv) {
  return read_json(kv.value, [&](const json& doc) {
    return ha::LeaderKey{doc.at("holder").get<std::string>(), doc.at("epoch").get<ha::Epoch>(),
                         static_cast<uint64_t>(kv.lease), static_cast<uint64_t>(kv.mod_revision)};
  });
}

std::optional<ha::EpochRecord> read_epoch(const dcs::KeyValue& kv) {
  return read_json(kv.value, [&](const json& doc) {
    return ha::EpochRecord{doc.at("epoch").get<ha::Epoch>(), doc.at("holder").get<std::string>(),
                           doc.at("timeline").get<ha::Timeline>(), static_cast<uint64_t>(kv.mod_revision),
                           doc.at("system_id").get<std::string>()};
  });
}

std::optional<ha::SyncRecord> read_sync(const dcs::KeyValue& kv) {
  return read_json(kv.value, [&](const json& doc) {
    return ha::SyncRecord{doc.at("leader").get<std::string>(),
                          doc.at("epoch").get<ha::Epoch>(),
                          durability_of(doc.at("durability").get<std::string>()),
                          {doc.at("members").get<std::vector<std::string>>(), doc.at("required").get<unsigned>()},
                          static_cast<uint64_t>(kv.mod_revision),
                          doc.at("heirs").get<std::vector<ha::Timeline>>()};
  });
}

std::optional<ReadRequest> read_request(const dcs::KeyValue& kv) {
  const auto word = read_json(kv.value, [](const json& doc) { return doc.at("kind").get<std::string>(); });
  const auto kind = std::find(std::begin(kKinds), std::end(kKinds), word.value_or(""));
  if (kind == std::end(kKinds)) return std::nullopt;  // of a later manager, perhaps: not ours to guess
  return read_json(kv.value, [&](const json& doc) {
    ReadRequest result;
    result.request.kind = static_cast<ha::Request::Kind>(kind - std::begin(kKinds));
    result.request.node = doc.value("node", "");
    result.request.force = doc.value("force", false);
    result.request.id = static_cast<uint64_t>(kv.mod_revision);
    result.patience = ha::Duration(static_cast<int64_t>(doc.value("seconds", 30.0) * 1000));
    return result;
  });
}

std::string to_json(const ha::Request& request, ha::Duration patience) {
  return json{{"kind", kKinds[static_cast<size_t>(request.kind)]},
              {"node", request.node},
              {"force", request.force},
              {"seconds", static_cast<double>(patience.count()) / 1000}}
      .dump();
}

std::string history_json(const std::string& node, const std::string& action, ha::Epoch epoch,
                         const std::string& sentence, const std::string& request, ha::Timeline timeline) {
  json line{{"time", utc_now()}, {"node", node}, {"action", action}, {"epoch", epoch}, {"text", sentence}};
  if (!request.empty()) line["request"] = request;
  if (timeline != 0) line["timeline"] = timeline;
  return line.dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace pgb::agent
