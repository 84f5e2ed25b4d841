#include "control/stats_views.h"

#include <algorithm>

namespace pgb::control {
namespace {

using Type = proxy::ConsoleColumn::Type;

std::string number(uint64_t value) { return std::to_string(value); }

// The twelve numbers of a database, in PgBouncer's order.

Row totals_of(const proxy::Traffic& t) {
  return {number(t.assignments),      number(t.transactions),   number(t.requests),   number(t.bytes_from_clients),
          number(t.bytes_to_clients), number(t.transaction_us), number(t.request_us), number(t.wait_us),
          number(t.client_parses),    number(t.server_parses),  number(t.binds),      number(t.logins)};
}

Row averages_of(const proxy::Traffic& from, const proxy::Traffic& to, double seconds) {
  const auto grown = [&](uint64_t proxy::Traffic::*what) {  // what went to others meanwhile did not happen
    return to.*what - std::min(from.*what, to.*what);
  };
  const auto rate = [&](uint64_t proxy::Traffic::*what) {
    return seconds > 0 ? number(static_cast<uint64_t>(static_cast<double>(grown(what)) / seconds)) : "0";
  };
  const auto each = [&](uint64_t proxy::Traffic::*time, uint64_t proxy::Traffic::*count) {
    return grown(count) > 0 ? number(grown(time) / grown(count)) : "0";
  };
  using T = proxy::Traffic;
  return {rate(&T::assignments),
          rate(&T::transactions),
          rate(&T::requests),
          rate(&T::bytes_from_clients),
          rate(&T::bytes_to_clients),
          each(&T::transaction_us, &T::transactions),
          each(&T::request_us, &T::requests),
          each(&T::wait_us, &T::assignments),
          rate(&T::client_parses),
          rate(&T::server_parses),
          rate(&T::binds),
          rate(&T::logins)};
}

proxy::Traffic of(const TrafficByDatabase& traffic, const std::string& database) {
  const auto found = traffic.find(database);
  return found == traffic.end() ? proxy::Traffic() : found->second;
}

// For each database: its name, the totals and the averages, as wanted.
Rows statistics(const Sight& sight, bool with_totals, bool with_averages) {
  const StatsPeriod::Span span = sight.period.last();
  Rows rows;
  for (const auto& [database, traffic] : by_database(sight.proxy.traffic())) {
    Row row = {database};
    const auto add = [&row](Row more) { row.insert(row.end(), more.begin(), more.end()); };
    if (with_totals) add(totals_of(traffic));
    if (with_averages) add(averages_of(of(span.from, database), of(span.to, database), span.seconds));
    rows.push_back(std::move(row));
  }
  return rows;
}

const char* const kCounts[] = {"server_assignment_count",
                               "xact_count",
                               "query_count",
                               "received",
                               "sent",
                               "xact_time",
                               "query_time",
                               "wait_time",
                               "client_parse_count",
                               "server_parse_count",
                               "bind_count",
                               "client_login_count"};

}  // namespace

Columns stats_columns() {
  Columns out;
  out.push_back({"database"});
  for (const char* name : kCounts) out.push_back({std::string("total_") + name, Type::kBigint});
  for (const char* name : kCounts) {
    out.push_back({name == std::string("received") ? "avg_recv" : std::string("avg_") + name, Type::kBigint});
  }
  return out;
}

Rows stats(const Sight& sight) { return statistics(sight, true, true); }
Rows stats_totals(const Sight& sight) { return statistics(sight, true, false); }
Rows stats_averages(const Sight& sight) { return statistics(sight, false, true); }

Rows totals(const Sight& sight) {
  const auto sum_of = [](const TrafficByDatabase& traffic) {
    proxy::Traffic sum;
    for (const auto& [database, part] : traffic) sum += part;
    return sum;
  };
  static constexpr const char* kNames[] = {"server_assignment_count",
                                           "xact_count",
                                           "query_count",
                                           "client_bytes",
                                           "server_bytes",
                                           "xact_time",
                                           "query_time",
                                           "wait_time",
                                           "ps_client_parse_count",
                                           "ps_server_parse_count",
                                           "ps_bind_count",
                                           "client_login_count"};
  const StatsPeriod::Span span = sight.period.last();
  const Row sums = totals_of(sum_of(by_database(sight.proxy.traffic())));
  const Row averages = averages_of(sum_of(span.from), sum_of(span.to), span.seconds);
  Rows rows;
  for (size_t i = 0; i < sums.size(); ++i) rows.push_back({std::string("total_") + kNames[i], sums[i]});
  for (size_t i = 0; i < averages.size(); ++i) rows.push_back({std::string("avg_") + kNames[i], averages[i]});
  return rows;
}

}  // namespace pgb::control
