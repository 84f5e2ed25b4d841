// Whether the lease store is still what it was: emptied, or restored from a copy, it answers with an earlier revision
// than before, or as another cluster. No thread but the caller's.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "ha/view.h"

namespace pgb::agent {

class StoreAge {
 public:
  enum class Answer {
    kNews,      // at least as new as all before
    kOlder,     // of two questions that were under way together the one that was answered first: to be left out
    kWentBack,  // it was asked after a higher revision was known
  };
  // `cluster`: the store's id as it says it, empty if it says none. `now`: when the answer came.
  Answer take(int64_t revision, const std::string& cluster, ha::Time asked, ha::Time now);

  // See ha::StoreView::restored: when it was seen to have gone back, until /sync has another revision than it had then.
  // To be called after each answer but the older ones. 0: there is no /sync.
  std::optional<ha::Time> restored(uint64_t sync_revision);

 private:
  bool ever_ = false;
  ha::Time asked_{};        // of the last answer
  int64_t revision_ = 0;    // the highest, since it went back last
  ha::Time revision_at_{};  // when that was known first
  std::string cluster_;
  std::optional<ha::Time> went_back_at_;
  std::optional<uint64_t> sync_then_;
};

}  // namespace pgb::agent
