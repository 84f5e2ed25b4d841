#include <poll.h>

#include <algorithm>

#include "base/strings.h"
#include "cluster/parallel.h"
#include "cluster/units.h"
#include "cluster/verbs.h"
#include "os/file.h"
#include "os/lock_file.h"

namespace pgb::cluster {

using std::chrono::seconds;

Result<DestroyPreview> look_before_destroy(Session& session) {
  if (session.wanted.protect) {
    return Error(Code::kProtected, "cluster " + session.wanted.cluster_name + " is protected by \"protect\": true in " +
                                       session.options.file)
        .with("changed", "nothing")
        .with("try", "set it to false first");
  }
  auto units = existing_units(session, Deadline::after(seconds(30)));
  if (!units.ok()) return std::move(units).error();
  DestroyPreview preview;
  for (const auto& [name, unit] : *units) preview.units.push_back(name);
  preview.exists = !units->empty() || session.has_record();
  const auto nodes = std::count_if(units->begin(), units->end(),
                                   [](const auto& unit) { return unit.second.kind == runtime::UnitSpec::Kind::kNode; });
  const std::string names = join(preview.units, " ");
  if (session.runtime->kind() == model::RuntimeKind::kDocker) {
    const auto recorded = session.recorded();
    const model::Cluster& cluster = recorded.ok() ? *recorded : session.wanted;
    const auto volumes = cluster.keeps_stores() ? static_cast<std::ptrdiff_t>(units->size()) : nodes;
    preview.what = {{"containers", names},
                    {"volumes", std::to_string(volumes) + ", with all data"},
                    {"network", cluster.network.name}};
  } else {
    preview.what = {{"processes", names}, {"data", session.cluster_dir() + "/units"}};
  }
  preview.what.emplace_back("state", session.cluster_dir());
  return preview;
}

// One round: what there is goes. `left` is what could not be removed, or came while it was done.
static Result<DestroyResult> destroy_once(Session& session, bool keep_data) {
  auto preview = look_before_destroy(session);
  if (!preview.ok()) return std::move(preview).error();
  const std::string& cluster = session.wanted.cluster_name;
  DestroyResult result;
  result.existed = preview->exists;
  if (preview->exists) {
    PGB_TRY(os::make_dirs(session.cluster_dir(), 0755));
    auto lock = os::LockFile::acquire(session.cluster_dir() + "/lock", "destroy");
    if (!lock.ok()) return std::move(lock).error();
    std::vector<Status> removed(preview->units.size());
    in_parallel(preview->units.size(), [&](size_t i) {
      const std::string& name = preview->units[i];
      session.tell(name, Event::State::kRunning, "removing");
      removed[i] = session.runtime->remove(cluster, name, keep_data, Deadline::after(seconds(25)));
      session.tell(name, removed[i].ok() ? Event::State::kOk : Event::State::kFailed,
                   removed[i].ok() ? "removed" : removed[i].error().message);
    });
    for (Status& one : removed) {
      if (!one.ok()) result.left.push_back(one.error().message);
    }
  }
  // Looks even if nothing was known: volumes and networks may have been left by a half-made cluster.
  auto left = session.runtime->remove_shared(cluster, keep_data, Deadline::after(seconds(30)));
  if (!left.ok()) return std::move(left).error();
  result.left.insert(result.left.end(), left->begin(), left->end());
  return result;
}

Result<DestroyResult> destroy(Session& session, bool keep_data) {
  const auto began = Deadline::Clock::now();
  auto result = destroy_once(session, keep_data);
  // An engine may still be making what a manager that was killed has asked for: it comes after the first look.
  for (int again = 0; result.ok() && !result->left.empty() && again < 3; ++again) {
    poll(nullptr, 0, 300);
    const bool existed = result->existed;
    result = destroy_once(session, keep_data);
    if (result.ok()) result->existed = result->existed || existed;
  }
  if (!result.ok()) return result;
  if (result->left.empty() && !keep_data) session.forget_record();
  result->seconds = std::chrono::duration<double>(Deadline::Clock::now() - began).count();
  return result;
}

}  // namespace pgb::cluster
