// status --watch: what is seen, and what its keys choose of it.
#pragma once

#include <optional>
#include <string>

#include "cli/context.h"
#include "cli/watch.h"
#include "cluster/status.h"

namespace pgb::cli {

class StatusWatch {
 public:
  // `look` asks; `wide` to begin with. `session` outlives it.
  StatusWatch(cluster::Session& session, std::function<Result<cluster::StatusDocument>()> look,
              std::function<std::string(const cluster::StatusDocument&, bool wide, const std::string& chosen)> render,
              bool wide);

  Result<std::string> make();
  std::string keys() const;
  bool obey(int key);  // false: not one of its keys
  static const char* help();

 private:
  enum class Shown { kStatus, kEvents, kWhy };

  void choose(int step);
  std::string why_text() const;
  std::string events_text() const;

  cluster::Session& session_;
  const std::function<Result<cluster::StatusDocument>()> look_;
  const std::function<std::string(const cluster::StatusDocument&, bool, const std::string&)> render_;
  std::optional<cluster::StatusDocument> known_;
  Shown shown_ = Shown::kStatus;
  bool wide_, paused_ = false;
  std::string chosen_;  // a server; empty: none yet
};

}  // namespace pgb::cli
