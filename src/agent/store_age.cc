#include "agent/store_age.h"

namespace pgb::agent {

StoreAge::Answer StoreAge::take(int64_t revision, const std::string& cluster, ha::Time asked, ha::Time now) {
  const bool other = !cluster_.empty() && !cluster.empty() && cluster != cluster_;
  const bool lower = revision < revision_;
  if (ever_ && (asked < asked_ || (lower && !other && asked <= revision_at_))) return Answer::kOlder;
  const bool back = ever_ && (lower || other);
  ever_ = true;
  asked_ = asked;
  if (back || revision > revision_) revision_ = revision, revision_at_ = now;
  if (!cluster.empty()) cluster_ = cluster;
  if (!back) return Answer::kNews;
  went_back_at_ = now;
  sync_then_.reset();
  return Answer::kWentBack;
}

std::optional<ha::Time> StoreAge::restored(uint64_t sync_revision) {
  if (!went_back_at_) return std::nullopt;
  if (!sync_then_) sync_then_ = sync_revision;
  if (*sync_then_ != sync_revision) went_back_at_.reset(), sync_then_.reset();
  return went_back_at_;
}

}  // namespace pgb::agent
