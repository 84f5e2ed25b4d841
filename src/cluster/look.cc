// The verbs that only look: logs, list.
#include "cluster/all_runtimes.h"
#include "cluster/units.h"
#include "cluster/verbs.h"

namespace pgb::cluster {

using std::chrono::seconds;

Result<runtime::LogText> logs(Session& session, const std::string& name, const runtime::LogQuery& query) {
  auto log = session.runtime->logs(session.wanted.cluster_name, name, query, Deadline::after(seconds(10)));
  if (log.ok() || log.error().code != Code::kNotFound) return log;
  auto units = existing_units(session, Deadline::after(seconds(10)));
  if (!units.ok()) return std::move(units).error();
  std::string known;
  for (const auto& [unit, info] : *units) known += (known.empty() ? "" : ", ") + unit;
  return Error(Code::kNoNode, "there is no node or balancer " + name).with("known", known.empty() ? "none" : known);
}

Result<std::vector<Listed>> list(const OpenOptions& options) {
  std::vector<Listed> found;
  for (const auto& runtime : all_runtimes(options)) {
    auto names = runtime->clusters(Deadline::after(seconds(5)));
    if (!names.ok()) return std::move(names).error();
    for (const std::string& name : *names) {
      auto units = runtime->list(name, Deadline::after(seconds(5)));
      if (!units.ok()) return std::move(units).error();
      Listed one{name, std::string(model::to_string(runtime->kind())), units->size(), 0};
      for (const runtime::UnitInfo& unit : *units) one.running += unit.state == runtime::UnitState::kRunning ? 1 : 0;
      found.push_back(one);
    }
  }
  return found;
}

}  // namespace pgb::cluster
