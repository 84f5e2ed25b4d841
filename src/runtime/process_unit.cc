#include "runtime/process_unit.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <nlohmann/json.hpp>

#include "base/strings.h"
#include "os/file.h"
#include "os/unique_fd.h"
#include "runtime/ports.h"

namespace pgb::runtime {
namespace {

using nlohmann::json;
constexpr const char* kRecord = "unit.json";
constexpr const char* kKept = "kept.json";

std::string to_text(const UnitRecord& record) {
  json ports = json::object();
  for (auto [inside, outside] : record.ports) ports[std::to_string(inside)] = outside;
  json document = {{"pgbalancer", "unit"},
                   {"kind", record.kind == UnitSpec::Kind::kNode ? "node" : "balancer"},
                   {"group", record.group},
                   {"spec_hash", record.spec_hash},
                   {"ports", ports}};
  return document.dump(2) + "\n";
}

std::string text_of(const json& document, const char* key) {
  auto it = document.find(key);
  return it != document.end() && it->is_string() ? it->get<std::string>() : "";
}

std::optional<UnitRecord> parse_record(const std::string& text) {
  json document = json::parse(text, nullptr, false);
  if (!document.is_object() || text_of(document, "pgbalancer") != "unit") return std::nullopt;
  UnitRecord record;
  record.kind = text_of(document, "kind") == "balancer" ? UnitSpec::Kind::kBalancer : UnitSpec::Kind::kNode;
  record.group = text_of(document, "group");
  record.spec_hash = text_of(document, "spec_hash");
  json ports = document.value("ports", json::object());
  for (auto it = ports.begin(); it != ports.end(); ++it) {
    auto inside = parse_port(it.key());
    if (inside && it->is_number_unsigned() && it->get<uint64_t>() <= 65535) record.ports[*inside] = it->get<uint16_t>();
  }
  return record;
}

Status own(const std::string& path, const std::optional<os::User>& run_as) {
  if (!run_as || ::lchown(path.c_str(), run_as->uid, run_as->gid) == 0) return {};
  return os::errno_error("chown", path, errno);
}

bool is_link(const std::string& path) {
  struct stat info {};
  return ::lstat(path.c_str(), &info) == 0 && S_ISLNK(info.st_mode);
}

// The directories of "init/0001.sql" below `top`. A link there is not followed: the program's user could
// have made it, and we may be root.
Status make_subdirs(const std::string& top, const std::vector<std::string>& parts,
                    const std::optional<os::User>& run_as) {
  std::string path = top;
  for (size_t i = 0; i + 1 < parts.size(); ++i) {
    path += "/" + parts[i];
    if (is_link(path)) return Error(Code::kIo, path + " is a symbolic link; not writing through it");
    if (os::exists(path)) continue;
    PGB_TRY(os::make_dirs(path, 0700));
    PGB_TRY(own(path, run_as));
  }
  return {};
}

Result<std::map<uint16_t, uint16_t>> settle_ports(const UnitSpec& unit) {
  std::map<uint16_t, uint16_t> ports;
  for (auto [inside, outside] : unit.ports) {
    uint16_t chosen = outside;
    if (chosen == 0) {
      auto port = free_port(unit.bind_address.empty() ? "127.0.0.1" : unit.bind_address);
      if (!port.ok()) return std::move(port).error();
      chosen = *port;
    }
    ports[inside] = chosen;
  }
  return ports;
}

}  // namespace

bool is_plain_name(const std::string& name) {
  return !name.empty() && name.size() <= 200 && name.front() != '.' && name.find('/') == std::string::npos &&
         name.find('\0') == std::string::npos;
}

Result<UnitDir> UnitDir::at(const std::string& state_dir, const std::string& cluster, const std::string& name) {
  for (const std::string& part : {cluster, name}) {
    if (!is_plain_name(part)) return Error(Code::kConfig, "'" + part + "' cannot be the name of a directory");
  }
  return UnitDir(state_dir + "/" + cluster + "/units/" + name, name);
}

std::optional<UnitRecord> UnitDir::record() const {
  auto text = os::read_file(file(kRecord), 1 << 20);
  if (!text.ok()) return std::nullopt;
  return parse_record(*text);
}

bool UnitDir::kept() const {
  auto text = os::read_file(file(kKept), 1 << 20);
  return text.ok() && parse_record(*text).has_value();
}

bool UnitDir::unfinished() const {
  auto names = os::list_dir(path_);
  const std::string temporary = std::string(kRecord) + ".tmp.";
  return names.ok() && std::all_of(names->begin(), names->end(), [&](const std::string& name) {
           return name.compare(0, temporary.size(), temporary) == 0;
         });
}

Status UnitDir::check_ours() const {
  if (!os::exists(path_) || record() || kept()) return {};
  if (unfinished()) return {};
  return Error(Code::kNameInUse, path_ + " exists and was not made by pgbalancer")
      .with("try", "move it away, or give the unit '" + name_ + "' another name");
}

Status UnitDir::write_record(const UnitSpec& unit) const {
  auto ports = settle_ports(unit);
  if (!ports.ok()) return std::move(ports).error();
  UnitRecord record{unit.kind, unit.group, unit.spec_hash, std::move(*ports)};
  PGB_TRY(os::write_file_atomic(file(kRecord), to_text(record), 0600));
  return os::remove_tree(file(kKept));
}

Status UnitDir::create(const UnitSpec& unit, const std::optional<os::User>& run_as) const {
  PGB_TRY(check_ours());
  PGB_TRY(os::make_dirs(path_, 0700));
  // The mark first: a directory that an interrupted init leaves is known as ours, and finished by the next one.
  if (!record()) PGB_TRY(write_record(unit));
  if (!os::exists(data_dir())) PGB_TRY(os::make_dirs(data_dir(), 0700));
  PGB_TRY(own(data_dir(), run_as));
  return own(path_, run_as);
}

Status UnitDir::write_files(const std::vector<FileSpec>& files, const std::optional<os::User>& run_as) const {
  std::optional<os::Owner> owner;
  if (run_as) owner = os::Owner{run_as->uid, run_as->gid};
  for (const FileSpec& spec : files) {
    std::vector<std::string> parts = split(spec.name, '/');
    if (!std::all_of(parts.begin(), parts.end(), is_plain_name)) {
      return Error(Code::kConfig, "'" + spec.name + "' cannot be the name of a file of " + name_);
    }
    PGB_TRY(make_subdirs(path_, parts, run_as));
    // With its owner from the start: the program may be reading its files just now.
    PGB_TRY(os::write_file_atomic(file(spec.name), spec.content, 0600, owner));
  }
  return {};
}

Status UnitDir::remove(bool keep_data) const {
  if (!os::exists(path_)) return {};
  PGB_TRY(check_ours());
  if (!keep_data) return os::remove_tree(path_);
  auto names = os::list_dir(path_);
  if (!names.ok()) return std::move(names).error();
  if (os::exists(file(kRecord)) && ::rename(file(kRecord).c_str(), file(kKept).c_str()) != 0) {
    return os::errno_error("rename", file(kRecord), errno);
  }
  for (const std::string& name : *names) {
    if (name != "data" && name != kKept && name != kRecord) PGB_TRY(os::remove_tree(file(name)));
  }
  return {};
}

}  // namespace pgb::runtime
