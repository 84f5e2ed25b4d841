// What the lease store in this process says of the group: who leads and since when, who follows whom, what a commit
// waits for, and what changed when and why. For people to see; nothing is decided by it.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "dcs/local_store.h"
#include "proxy/health.h"

namespace pgb::control {

struct MemberRecord {  // what a node said of itself last
  std::string state;   // of its agent: "leading", "following", …
  std::string sentence;
  std::string follows;  // whose log it gets; empty: nobody's
  bool streaming = false;
};

struct SyncRecord {
  std::string durability;  // "async", "quorum", "strict"
  std::string leader;
  std::vector<std::string> members;  // whose confirmation counts, the leader not among them
  unsigned required = 0;             // how many of them

  std::string sentence() const;  // what a commit waits for
};

struct HistoryLine {
  std::string time;    // RFC 3339, UTC
  std::string node;    // who says it
  std::string action;  // "acquire", "release", "follow", …
  int64_t epoch = 0;
  std::string text;
};

struct GroupRecord {
  std::optional<proxy::Leader> leader;
  int64_t epoch = 0;  // the highest that there was
  std::optional<SyncRecord> sync;
  std::map<std::string, MemberRecord> members;
};

// Texts of others: nothing for what is none of these.
std::optional<MemberRecord> parse_member(std::string_view text);
std::optional<SyncRecord> parse_sync(std::string_view text);
std::optional<HistoryLine> parse_history(std::string_view text);

class GroupReader {
 public:
  // The store must outlive this. It serves one cluster, whatever its name.
  GroupReader(dcs::LocalStore& store, std::string group) : store_(store), group_(std::move(group)) {}

  // Nothing while the store holds nothing of the group, or does not answer.
  std::optional<GroupRecord> read();
  // What was written since the last call, oldest first; at first, all that is kept.
  std::vector<HistoryLine> new_history();

 private:
  bool find_root();
  std::string value_of(const std::string& key);
  std::vector<dcs::KeyValue> below(const std::string& prefix);

  dcs::LocalStore& store_;
  const std::string group_;
  std::string root_;  // of the group's keys; empty: not known yet
  std::set<std::string> told_;
  int64_t newest_epoch_ = -1;  // of what was told
};

}  // namespace pgb::control
