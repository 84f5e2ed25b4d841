#include "cluster/drill_ledger.h"

#include <poll.h>

#include <set>

#include "base/strings.h"

namespace pgb::cluster {

using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

constexpr int kWriters = 4;
constexpr char kDrop[] = "DROP SCHEMA IF EXISTS pgbalancer_drill CASCADE";

std::string statement(int writer, uint64_t number) {
  return "INSERT INTO pgbalancer_drill.ledger VALUES (" + std::to_string(writer) + ", " + std::to_string(number) + ")";
}

Status run(const pgclient::ConnInfo& info, const std::string& sql, Deadline deadline) {
  auto connection = pgclient::Connection::open(info, deadline);
  if (!connection.ok()) return std::move(connection).error();
  auto done = (*connection)->query(sql, deadline);
  return done.ok() ? Status() : Status(std::move(done).error());
}

}  // namespace

DrillLedger::DrillLedger(const Group& group)
    : group_(group), writers_(balancer_conninfo(group.cluster, group.secrets, group.balancer), kWriters, statement) {}

Status DrillLedger::make() {
  const auto through = balancer_conninfo(group_.cluster, group_.secrets, group_.balancer);
  const std::string all = std::string(kDrop) +  // in one transaction
                          "; CREATE SCHEMA pgbalancer_drill; CREATE TABLE pgbalancer_drill.ledger"
                          " (writer int, number bigint, PRIMARY KEY (writer, number))";
  return run(through, all, Deadline::after(seconds(15)));
}

Status DrillLedger::remove(Deadline deadline) const {
  const auto through = balancer_conninfo(group_.cluster, group_.secrets, group_.balancer);
  Status gone;
  do {
    gone = run(through, kDrop, Deadline::after(seconds(12)).sooner(deadline.remaining()));
    if (gone.ok()) return {};
    poll(nullptr, 0, 200);
  } while (!deadline.expired());
  return gone;
}

Result<uint64_t> DrillLedger::missing_on(const model::Node& node) const {
  const Deadline deadline = Deadline::after(seconds(30));
  auto connection = pgclient::Connection::open(server_conninfo(group_.cluster, group_.secrets, node.port), deadline);
  if (!connection.ok()) return std::move(connection).error().in(node.name);
  auto rows = (*connection)->query("SELECT writer, number FROM pgbalancer_drill.ledger", deadline);
  if (!rows.ok()) return std::move(rows).error().in(node.name);
  std::set<std::pair<uint64_t, uint64_t>> there;
  for (const auto& row : rows->at(0).rows) {
    there.emplace(parse_u64(row[0].value_or("")).value_or(0), parse_u64(row[1].value_or("")).value_or(0));
  }
  uint64_t missing = 0;
  for (const Ack& ack : writers_.acks())
    missing += there.contains({static_cast<uint64_t>(ack.writer), ack.number}) ? 0 : 1;
  return missing;
}

}  // namespace pgb::cluster
