// The one question an agent asks each round, about every half second and whenever something happened.
//
// What the agent owes the answer, for the proofs to hold:
// - kAcquire is one transaction: if the leader key, /epoch and /sync have the revisions of the view (or are as absent),
//   then put the leader key {self, epoch} under a new lease, /epoch {epoch, self, max(its timeline, timeline),
//   system_id}, and /sync as `record` says, if it does. A lossy one compares the request's revision, too. On disk `led`
//   is at least the decision's before the transaction is sent.
// - The lease is granted, and its id remembered, before that transaction: a key with it is its own, unless its epoch is
//   below that of the primary that runs here (then the store went back).
// - kRecordSync is one transaction: if the leader key is still {self, its epoch} at the revision of the view, and /sync
//   has the revision of the view (or is as absent), put /sync as `record` says. Of several under way only one can
//   happen.
// - kRelease is one transaction: if the leader key is mine, delete it, put /transfer = node, and name that node in a
//   pending switchover. The promise and the position are published before it.
// - A transaction whose answer did not come may have happened, or happen later: look again, assume nothing.
// - An agent without its own state on disk reads what it published before, and keeps that promise, before it acts.
// - What runs longer than a round (start, rewind, copy, promote) runs beside the loop; a decision for what is already
//   under way changes nothing.
// - A request to restart or reinit is cleared by the agent that is about to do it; kClearRequest clears the request of
//   the view, no other.
#pragma once

#include "ha/decision.h"
#include "ha/transitions.h"
#include "ha/view.h"

namespace pgb::ha {

// Pure: the same view and time give the same decision. Never fails.
Decision decide(const ClusterView& view, Time now);

// The state that decide() finds this node in.
State state_of(const ClusterView& view);

// Whether it renews its lease in this round. Not once it gives the key up, nor one under which it may not lead any
// more, as it promised: that one is to run out, should the store not hear of its release.
bool renews(const ClusterView& view, const Decision& decision);

// Until when this primary may accept writes: its lease less the margin, or as long as the members it needs vouch for it
// while the store is silent to all of them. For ever (Time::max()) where nobody else can be elected.
Time covered_until(const ClusterView& view);

// Its machine was suspended, and woke up at `woke`: the monotonic clock stood still, and does not say how long ago all
// that was which covered it before. What covers it has to be asked for anew.
void forget_cover(ClusterView& view, Time woke);

}  // namespace pgb::ha
