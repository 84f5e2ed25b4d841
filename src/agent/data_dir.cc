#include "agent/data_dir.h"

#include "base/strings.h"
#include "os/file.h"

namespace pgb::agent {

DataDir::DataDir(std::string data_dir) : data_dir_(std::move(data_dir)) {
  parent_ = data_dir_.substr(0, data_dir_.rfind('/'));
  state_file_ = parent_ + "/pgbalancer.state";
}

DataStage DataDir::look() const {
  const auto entries = os::list_dir(data_dir_);
  // What cannot be read is not empty: a passing error must not have a whole directory made anew.
  if (!entries.ok() && os::exists(data_dir_)) return DataStage::kForeign;
  const bool empty = !entries.ok() || entries->empty();
  const auto state = os::read_file(state_file_, 64);
  if (!state.ok() && os::exists(state_file_)) return DataStage::kForeign;
  const std::string_view stage = state.ok() ? trim(*state) : std::string_view();
  if (stage == "making") return empty ? DataStage::kEmpty : DataStage::kMaking;
  // Once it held data; now it is gone, perhaps only not mounted. That is for people to judge.
  if (empty && !stage.empty()) return DataStage::kForeign;
  if (empty) return DataStage::kEmpty;
  if (!os::exists(data_dir_ + "/PG_VERSION")) return DataStage::kForeign;
  if (stage == "initialised") return DataStage::kInitialised;
  if (stage == "ready") return DataStage::kReady;
  return DataStage::kForeign;
}

Status DataDir::set_stage(DataStage stage) const {
  const char* text = stage == DataStage::kMaking        ? "making\n"
                     : stage == DataStage::kInitialised ? "initialised\n"
                                                        : "ready\n";
  return os::write_file_atomic(state_file_, text, 0600);
}

Status DataDir::wipe_unfinished() const {
  if (look() != DataStage::kMaking) {
    return Error(Code::kForeign, data_dir_ + " is not an unfinished copy of ours; it was not touched");
  }
  return os::remove_tree(data_dir_);
}

}  // namespace pgb::agent
