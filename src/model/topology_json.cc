#include "model/topology_json.h"

#include <errno.h>
#include <string.h>

#include <fstream>
#include <iostream>

#include "model/json_document.h"
#include "model/read_cluster.h"
#include "model/validate.h"

namespace pgb::model {

namespace {

constexpr size_t kMaxBytes = 16 << 20;

// At most one byte more than a cluster file may have, so that the parser sees that it is too large.
bool read_all(std::istream& in, std::string& out) {
  char chunk[65536];
  while (out.size() <= kMaxBytes && (in.read(chunk, sizeof chunk), in.gcount() > 0)) {
    out.append(chunk, static_cast<size_t>(in.gcount()));
  }
  return !in.bad();
}

Error unreadable(const std::string& file, int reason) {
  Error error(Code::kConfigUnreadable, "cannot read the cluster file " + file + ": " + strerror(reason));
  if (reason == ENOENT)
    error.with("try", "give its path with --config; {\"cluster_name\": \"demo\"} is a whole cluster file");
  return error;
}

}  // namespace

std::string Mistake::str(std::string_view file) const {
  std::string out(file);
  if (line > 0) out += ":" + std::to_string(line) + ":" + std::to_string(column);
  out += line > 0 && !path.empty() ? " " + path + ": " : path.empty() ? ": " : ": " + path + ": ";
  return out + text;
}

Parsed parse_cluster(std::string_view text, const Defaults& defaults) {
  Parsed parsed;
  Mistakes mistakes;
  JsonValue root;
  if (parse_json(text, root, mistakes)) {
    if (root.is(JsonValue::Kind::kObject)) {
      validate(root, cluster_keys(), "", mistakes);
      parsed.cluster = read_cluster(root, defaults, mistakes);
    } else {
      mistakes.add(root.place, "", "a cluster file is an object in { }, not " + std::string(kind_name(root.kind)));
    }
  }
  parsed.mistakes = mistakes.take();
  return parsed;
}

Result<std::string> read_cluster_file(const std::string& file) {
  std::string text;
  errno = 0;
  if (file == "-") {
    if (!read_all(std::cin, text)) return unreadable("on standard input", EIO);
  } else {
    std::ifstream in(file, std::ios::binary);
    if (!in.is_open()) return unreadable(file, errno);
    if (!read_all(in, text)) return unreadable(file, errno != 0 ? errno : EIO);
  }
  return text;
}

Result<Cluster> load_cluster(const std::string& file) {
  auto text = read_cluster_file(file);
  if (!text.ok()) return std::move(text).error();
  return load_cluster(file, *text);
}

Result<Cluster> load_cluster(const std::string& file, std::string_view text, const Defaults& defaults) {
  auto parsed = parse_cluster(text, defaults);
  if (parsed.mistakes.empty()) return std::move(parsed.cluster);
  const std::string name = file == "-" ? "<stdin>" : file;
  const size_t count = parsed.mistakes.size();
  Error error(Code::kConfig,
              name + ": " + std::to_string(count) + (count == 1 ? " mistake" : " mistakes") + " in the cluster file");
  for (const auto& mistake : parsed.mistakes) error.with("mistake", mistake.str(name));
  return error;
}

}  // namespace pgb::model
