// The group's records in the lease store as JSON texts, both ways. A text that is not one of ours is no record.
#pragma once

#include <optional>
#include <string>

#include "dcs/dcs.h"
#include "ha/view.h"

namespace pgb::agent {

// What a node publishes of itself: its view, and words for people.
struct Publication {
  ha::NodeView node;
  std::string state;              // of ha::State, as text
  std::string sentence;           // what it decided last
  std::string commits_wait = {};  // ha::commits_wait()
};

std::string to_json(const Publication& publication);
std::optional<Publication> parse_publication(const std::string& text);

std::string to_json(const ha::LeaderKey& leader);
std::string to_json(const ha::EpochRecord& epoch);
std::string to_json(const ha::SyncRecord& sync);
std::optional<ha::LeaderKey> read_leader(const dcs::KeyValue& kv);
std::optional<ha::EpochRecord> read_epoch(const dcs::KeyValue& kv);
std::optional<ha::SyncRecord> read_sync(const dcs::KeyValue& kv);

// A request of a user's, {"kind": "switchover", "node": "", "force": false, "seconds": 30}. `id` is the revision.
struct ReadRequest {
  ha::Request request;       // without deadline
  ha::Duration patience{0};  // from when it was written
};
std::optional<ReadRequest> read_request(const dcs::KeyValue& kv);
std::string to_json(const ha::Request& request, ha::Duration patience);

// One entry of the history.
// `request`: what was asked for, if that is why. `timeline`: the one that begins with it; 0: none does.
std::string history_json(const std::string& node, const std::string& action, ha::Epoch epoch,
                         const std::string& sentence, const std::string& request = {}, ha::Timeline timeline = 0);

}  // namespace pgb::agent
