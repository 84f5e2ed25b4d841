// What there is to see, as tables: one list behind the console's SHOW and pgpool-II's commands. PgBouncer's columns
// have PgBouncer's names, so that what reads them need not know the difference.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "control/access.h"
#include "control/balancer_config.h"
#include "control/stats_period.h"
#include "proxy/admin.h"
#include "proxy/console.h"

namespace pgb::control {

class GroupRoles;

struct Sight {
  const proxy::Admin& proxy;
  const BalancerConfig& config;
  const StatsPeriod& period;
  const GroupRoles* roles;  // null: there are none to be known
};

using Columns = std::vector<proxy::ConsoleColumn>;
using Row = proxy::ConsoleAnswer::Row;
using Rows = std::vector<Row>;

struct View {
  std::string_view name;  // behind SHOW
  Role needs;             // to see it
  std::string_view help;
  Columns columns;
  Rows (*rows)(const Sight&);
};

const std::vector<View>& console_views();  // in PgBouncer's manner
const std::vector<View>& pgpool_views();   // in pgpool-II's: "pool_nodes"

// Null if there is none.
const View* find_view(const std::vector<View>& views, std::string_view name);

// The keys of the configuration and their values, no secrets among them, in the order of the documentation.
struct ConfigItem {
  std::string key, value, fallback;
  bool changeable = false;  // by a reload
};
std::vector<ConfigItem> config_items(const BalancerConfig& config);

}  // namespace pgb::control
