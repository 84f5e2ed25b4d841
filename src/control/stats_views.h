// The rows of PgBouncer's SHOW STATS and its kin.
#pragma once

#include "control/views.h"

namespace pgb::control {

Columns stats_columns();
Rows stats(const Sight& sight);
Rows stats_totals(const Sight& sight);
Rows stats_averages(const Sight& sight);
Rows totals(const Sight& sight);  // of all databases

}  // namespace pgb::control
