#include "agent/silent_senders.h"

#include <poll.h>

#include <map>

#include "base/log.h"

namespace pgb::agent {

using pgclient::Connection;
using std::chrono::milliseconds;

namespace {

constexpr milliseconds kQuery{2000};

struct Waited {
  std::string name, said;  // when its standby said something last
};
using ByPid = std::map<std::string, Waited>;

Result<ByPid> not_confirmed(Connection& connection, const std::string& lsn, const std::vector<std::string>& names) {
  std::string list;
  for (const std::string& name : names) list += (list.empty() ? "" : ", ") + pgclient::quote_literal(name);
  auto answer = connection.query(
      "SELECT pid, application_name AS name, reply_time AS said FROM pg_stat_replication WHERE state = 'streaming' "
      "AND flush_lsn < " +
          pgclient::quote_literal(lsn) + " AND application_name IN (" + list + ")",
      Deadline::after(kQuery));
  if (!answer.ok()) return std::move(answer).error();
  ByPid found;
  const pgclient::ResultSet& rows = answer->at(0);
  for (size_t i = 0; i < rows.rows.size(); ++i) {
    found[rows.get(i, "pid")] = {rows.get(i, "name"), rows.get(i, "said")};
  }
  return found;
}

}  // namespace

Status end_silent_senders(Connection& connection, const std::vector<std::string>& names, milliseconds silence) {
  if (names.empty()) return {};
  auto position = connection.query("SELECT pg_current_wal_flush_lsn() AS lsn", Deadline::after(kQuery));
  if (!position.ok()) return std::move(position).error();
  const std::string lsn = position->at(0).get(0, "lsn");
  auto silent = not_confirmed(connection, lsn, names);
  for (const Deadline deadline = Deadline::after(silence); silent.ok() && !silent->empty(); poll(nullptr, 0, 20)) {
    auto now = not_confirmed(connection, lsn, names);
    if (!now.ok()) return std::move(now).error();
    std::erase_if(*silent, [&](const auto& one) {
      const auto still = now->find(one.first);
      return still == now->end() || still->second.said != one.second.said;
    });
    if (deadline.expired()) break;
  }
  if (!silent.ok()) return std::move(silent).error();
  for (const auto& [pid, waited] : *silent) {
    log::info("the connection of " + waited.name + ", which says nothing, is ended: a clean stop would wait for it");
    auto ended = connection.query("SELECT pg_terminate_backend(" + pid + ")", Deadline::after(kQuery));
    if (!ended.ok()) return std::move(ended).error();
  }
  return {};
}

}  // namespace pgb::agent
