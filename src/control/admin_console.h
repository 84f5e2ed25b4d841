// The console: PgBouncer's commands at the database "pgbalancer", and pgpool-II's SHOW POOL_… in any session. It has no
// commands of its own: what changes something stands in commands.h, what shows something in views.h.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "control/access.h"
#include "control/balancer_config.h"
#include "control/commands.h"
#include "control/console_syntax.h"
#include "control/stats_period.h"
#include "control/views.h"
#include "control/workers.h"
#include "proxy/console.h"

namespace pgb::control {

class AdminConsole final : public proxy::Console {
 public:
  // `config`: what is in force; called on any thread, must not wait. All of it must live until stop().
  AdminConsole(Actions actions, std::function<ConfigPtr()> config);
  ~AdminConsole() override { stop(); }
  // Waits for commands under way; what is asked from now on is refused.
  void stop() { workers_.stop(); }

  bool is_open() const override;
  bool lets_in(const std::string& user) const override;
  proxy::ConsoleAnswer describe(const proxy::ConsoleAsker& asker, std::string_view text) const override;
  void ask(const proxy::ConsoleAsker& asker, const std::string& text, Done done) override;
  // The rows of one of pgpool_views(), now.
  Rows rows_of(std::string_view view) const;

 private:
  // What is to be done, found by the text alone.
  struct Plan {
    proxy::ConsoleAnswer answer;  // tag and columns; everything, if there is nothing to be done
    const View* view = nullptr;
    const Command* command = nullptr;
    Arguments arguments;
    std::string only;  // the item of PGPOOL SHOW
  };
  Result<Plan> plan(const proxy::ConsoleAsker& asker, std::string_view text) const;
  Result<Plan> plan_show(const std::vector<Word>& words) const;
  Result<Plan> plan_as_pgpool(const std::vector<Word>& words) const;
  Role role_of(const std::string& user) const;
  proxy::ConsoleAnswer run(const proxy::ConsoleAsker& asker, Plan plan) const;

  const Actions actions_;
  const std::function<ConfigPtr()> config_;
  const StatsPeriod period_;
  Workers workers_;
};

}  // namespace pgb::control
