// What a drill does to a node, or to the lease store, and how that is undone.
#pragma once

#include <string>
#include <vector>

#include "cluster/disk_filler.h"
#include "cluster/drill.h"
#include "cluster/group_store.h"

namespace pgb::cluster {

// What cannot be done where this cluster lives: kNotReady, why, and what can be done instead. Touches nothing.
Status can_harm(const Session& session, const Group& group, Drill kind, const std::string& node);

// What doing and undoing it is, in words.
std::string harm_text(const DrillPlan& plan);
std::string undo_text(const DrillPlan& plan);

class Harm {
 public:
  Harm(Session& session, const Group& group, const DrillPlan& plan) : session_(session), group_(group), plan_(plan) {}

  Status inflict();
  Status undo();  // once more: success, without doing anything
  bool undone() const { return undone_; }
  std::string standing() const;  // of a drill that was broken off: how the node is left
  std::string remedy() const;    // the command that undo() stands for

 private:
  const std::string& cluster() const { return group_.cluster.cluster_name; }
  Status lose_store();
  Status connect();

  Session& session_;
  const Group& group_;
  const DrillPlan& plan_;
  DiskFiller filler_;
  bool undone_ = false;
};

}  // namespace pgb::cluster
