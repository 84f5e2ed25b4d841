#include "cluster/role_probe.h"

#include <poll.h>

#include <algorithm>

#include "base/strings.h"
#include "cluster/lineage.h"

namespace pgb::cluster {

using std::chrono::milliseconds;
using Clock = Deadline::Clock;

namespace {

constexpr milliseconds kFirst{6000};
constexpr milliseconds kLast{15000};
constexpr uint64_t kEnough = 12;  // commits before the role moves: what a pause is compared with

// The position is in WAL that the server wrote itself: its timeline is that of the file.
std::string statement(int, uint64_t) {
  return "SELECT pg_logical_emit_message(true, 'pgbalancer', 'is it written?') AS lsn, "
         "substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) AS timeline";
}

std::optional<Lineage> lineage_of(const pgclient::ConnInfo& primary) {
  const Deadline deadline = Deadline::after(milliseconds(5000));
  auto connection = pgclient::Connection::open(primary, deadline);
  if (!connection.ok()) return std::nullopt;
  auto answer = (*connection)
                    ->query(
                        "SELECT name, pg_read_file('pg_wal/' || name || '.history') AS history FROM "
                        "(SELECT substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) AS name) AS own",
                        deadline);
  if (!answer.ok() || answer->at(0).rows.empty()) return std::nullopt;
  return parse_lineage(parse_hex(answer->at(0).get(0, "name")).value_or(0), answer->at(0).get(0, "history"));
}

bool has(const Lineage& lineage, const Ack& ack) {
  const auto lsn = ack.row.size() < 2 ? std::nullopt : parse_lsn(ack.row[0]);
  const auto timeline = ack.row.size() < 2 ? std::nullopt : parse_hex(ack.row[1]);
  return lsn && timeline && lineage.has(*timeline, *lsn);
}

}  // namespace

RoleProbe::RoleProbe(pgclient::ConnInfo through) : writers_(std::move(through), 1, statement) {}

void RoleProbe::begin() {
  writers_.start();
  const Deadline limit = Deadline::after(kFirst);
  while (writers_.commits() < kEnough && !limit.expired()) poll(nullptr, 0, 5);
  works_ = writers_.commits() >= kEnough;
  since_ = Clock::now();
}

void RoleProbe::wait_for_writes() {
  const auto now = Clock::now();
  const Deadline limit = Deadline::after(works_ ? kLast : milliseconds(0));
  while (writers_.commits_since(now) == 0 && !limit.expired()) poll(nullptr, 0, 2);
}

std::optional<Measured> RoleProbe::end(const pgclient::ConnInfo& primary) {
  writers_.stop();
  if (!works_) return std::nullopt;
  const Outage outage = writers_.outage(since_);
  Measured measured{outage.gap, writers_.commits(), outage.errors, std::nullopt, ""};
  if (!outage.reasons.empty()) measured.first_error = outage.reasons.begin()->first;
  const auto lineage = lineage_of(primary);
  if (!lineage) return measured;
  const auto acks = writers_.acks();
  measured.lost = static_cast<uint64_t>(
      std::count_if(acks.begin(), acks.end(), [&](const Ack& ack) { return !has(*lineage, ack); }));
  return measured;
}

}  // namespace pgb::cluster
