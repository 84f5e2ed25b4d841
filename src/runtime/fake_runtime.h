// A runtime in memory, for the tests of whatever uses one. Thread-safe. Header only.
#pragma once

#include <map>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "runtime/runtime.h"

namespace pgb::runtime {

class FakeRuntime : public Runtime {
 public:
  // What the test may arrange. Change them only while no call runs.
  std::vector<Obstacle> obstacles;              // answered by preflight, after taken ports
  std::set<uint16_t> taken_ports;               // kPortInUse in preflight
  std::set<std::string> foreign;                // unit names that are not ours: kNameInUse
  std::map<std::string, Error> fail_ensure;     // by unit name
  std::map<std::string, std::string> log_text;  // by unit name
  std::function<void(const std::string& verb, const std::string& name)> on_call;  // called without the lock

  // What the test may look at, a copy.
  std::vector<std::string> calls() const {
    std::lock_guard lock(mutex_);
    return calls_;
  }
  // The files of a unit as last given; empty if there is no such unit.
  std::vector<FileSpec> files(const std::string& cluster, const std::string& name) const {
    std::lock_guard lock(mutex_);
    const Unit* unit = find(cluster, name);
    return unit != nullptr ? unit->spec.files : std::vector<FileSpec>();
  }

  model::RuntimeKind kind() const override { return model::RuntimeKind::kProcess; }
  std::string describe() const override { return "fake"; }

  std::vector<Obstacle> preflight(const model::Cluster&, const std::vector<UnitSpec>& units, Deadline) override {
    std::lock_guard lock(mutex_);
    std::vector<Obstacle> errors;
    for (const UnitSpec& unit : units) {
      const Unit* existing = find(unit.cluster, unit.name);
      if (existing == nullptr && foreign.count(unit.name) != 0) errors.push_back(not_ours(unit.name));
      if (existing != nullptr && existing->running) continue;
      for (auto [inside, outside] : unit.ports) {
        if (taken_ports.count(outside) != 0) {
          const Error taken(Code::kPortInUse, "port " + std::to_string(outside) + " is in use");
          errors.push_back(Obstacle::taken_port(unit.name, outside, Error(taken).with("held by", "the test")));
        }
      }
    }
    errors.insert(errors.end(), obstacles.begin(), obstacles.end());
    return errors;
  }

  Status prepare(const model::Cluster& cluster, const std::vector<UnitSpec>&,
                 const std::function<void(const std::string&)>&, Deadline) override {
    note("prepare", cluster.cluster_name);
    std::lock_guard lock(mutex_);
    clusters_[cluster.cluster_name];
    return {};
  }

  Result<std::vector<std::string>> missing_shared(const model::Cluster& cluster, const std::vector<UnitSpec>&,
                                                  Deadline) override {
    std::lock_guard lock(mutex_);
    if (clusters_.count(cluster.cluster_name) != 0) return std::vector<std::string>();
    return std::vector<std::string>{"make " + cluster.cluster_name};
  }

  Status ensure(const UnitSpec& unit, Deadline) override {
    note("ensure", unit.name);
    std::lock_guard lock(mutex_);
    if (auto it = fail_ensure.find(unit.name); it != fail_ensure.end()) return it->second;
    if (foreign.count(unit.name) != 0) return not_ours(unit.name);
    auto [it, made] = clusters_[unit.cluster].units.try_emplace(unit.name);
    if (made) {
      it->second.spec = unit;
      for (auto [inside, outside] : unit.ports) it->second.ports[inside] = outside != 0 ? outside : next_port_++;
    }
    it->second.spec.files = unit.files;
    if (!it->second.running) it->second.spec.spec_hash = unit.spec_hash;
    run(it->second);
    return {};
  }

  Status stop(const std::string& cluster, const std::string& name, Deadline) override {
    note("stop", name);
    std::lock_guard lock(mutex_);
    if (Unit* unit = find(cluster, name)) unit->running = false;
    return {};
  }

  Status kill(const std::string& cluster, const std::string& name, Deadline) override {
    note("kill", name);
    std::lock_guard lock(mutex_);
    if (Unit* unit = find(cluster, name)) unit->running = false;
    return {};
  }

  Status start(const std::string& cluster, const std::string& name, Deadline) override {
    note("start", name);
    std::lock_guard lock(mutex_);
    Unit* unit = find(cluster, name);
    if (unit == nullptr) return Error(Code::kNotFound, "there is no unit '" + name + "' in cluster '" + cluster + "'");
    run(*unit);
    return {};
  }

  Status remove(const std::string& cluster, const std::string& name, bool keep_data, Deadline) override {
    note("remove", name);
    std::lock_guard lock(mutex_);
    auto it = clusters_.find(cluster);
    if (it == clusters_.end()) return {};
    bool existed = it->second.units.erase(name) != 0;
    if (existed && keep_data) it->second.kept.insert(name);
    if (!keep_data) it->second.kept.erase(name);
    return {};
  }

  Result<std::vector<UnitInfo>> list(const std::string& cluster, Deadline) override {
    std::lock_guard lock(mutex_);
    std::vector<UnitInfo> infos;
    auto it = clusters_.find(cluster);
    if (it == clusters_.end()) return infos;
    for (const auto& [name, unit] : it->second.units) {
      UnitInfo info;
      info.name = name;
      info.group = unit.spec.group;
      info.kind = unit.spec.kind;
      info.state = unit.running ? UnitState::kRunning : UnitState::kStopped;
      info.spec_hash = unit.spec.spec_hash;
      if (unit.running) info.id = std::to_string(unit.id);
      info.ports = unit.ports;
      infos.push_back(std::move(info));
    }
    return infos;
  }

  Result<std::vector<std::string>> clusters(Deadline) override {
    std::lock_guard lock(mutex_);
    std::vector<std::string> names;
    for (const auto& entry : clusters_) names.push_back(entry.first);
    return names;
  }

  Result<std::vector<std::string>> remove_shared(const std::string& cluster, bool keep_data, Deadline) override {
    note("remove_shared", cluster);
    std::lock_guard lock(mutex_);
    std::vector<std::string> left;
    auto it = clusters_.find(cluster);
    if (it == clusters_.end()) return left;
    if (!keep_data) it->second.kept.clear();
    for (const auto& entry : it->second.units) left.push_back("unit " + entry.first);
    if (left.empty() && it->second.kept.empty()) clusters_.erase(it);
    return left;
  }

  Result<LogText> logs(const std::string& cluster, const std::string& name, const LogQuery& query, Deadline) override {
    std::lock_guard lock(mutex_);
    if (find(cluster, name) == nullptr) {
      return Error(Code::kNotFound, "there is no unit '" + name + "' in cluster '" + cluster + "'");
    }
    auto it = log_text.find(name);
    std::string text = it != log_text.end() ? it->second : "";
    for (int i = 0; it == log_text.end() && i < find(cluster, name)->starts; ++i) text += "stub started\nstub ready\n";
    LogText answer{"", std::to_string(text.size())};
    if (!query.after.empty()) {
      answer.text = text.substr(std::stoul(query.after));
      return answer;
    }
    size_t cut = text.empty() ? 0 : text.size() - 1;
    for (int seen = 0; cut > 0; --cut) {
      if (text[cut - 1] == '\n' && ++seen >= query.lines) break;
    }
    answer.text = text.substr(cut);
    return answer;
  }

 private:
  struct Unit {
    UnitSpec spec;
    bool running = false;
    int id = 0, starts = 0;
    std::map<uint16_t, uint16_t> ports;
  };
  struct Shared {
    std::map<std::string, Unit> units;
    std::set<std::string> kept;
  };

  static Error not_ours(const std::string& name) { return Error(Code::kNameInUse, "unit '" + name + "' is not ours"); }

  void note(const std::string& verb, const std::string& name) {
    {
      std::lock_guard lock(mutex_);
      calls_.push_back(verb + " " + name);
    }
    if (on_call) on_call(verb, name);
  }
  void run(Unit& unit) {
    if (!unit.running) {
      unit.id = ++next_id_;
      ++unit.starts;
    }
    unit.running = true;
  }
  const Unit* find(const std::string& cluster, const std::string& name) const {
    auto it = clusters_.find(cluster);
    if (it == clusters_.end()) return nullptr;
    auto unit = it->second.units.find(name);
    return unit != it->second.units.end() ? &unit->second : nullptr;
  }
  Unit* find(const std::string& cluster, const std::string& name) {
    return const_cast<Unit*>(std::as_const(*this).find(cluster, name));
  }

  mutable std::mutex mutex_;
  std::map<std::string, Shared> clusters_;
  std::vector<std::string> calls_;
  int next_id_ = 1000;
  uint16_t next_port_ = 40000;
};

}  // namespace pgb::runtime
