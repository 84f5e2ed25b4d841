// Reads a cluster file. All mistakes are found in one go, each with line, column, path and advice.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "model/topology.h"

namespace pgb::model {

// One mistake: "demo.json:9:40 balancers[0].primary.port: must be 1..65535, not 70000".
struct Mistake {
  int line = 0;      // from 1; 0 where the whole file is meant
  int column = 0;    // from 1, in bytes
  std::string path;  // "balancers[0].replicas[1].port"; empty for the document
  std::string text;  // what is wrong and what to do

  std::string str(std::string_view file) const;
};

struct Parsed {
  Cluster cluster;                // meaningful only without mistakes
  std::vector<Mistake> mistakes;  // in the order of the file
};

// Parses and validates the text of a cluster file. Pure; never throws; bounded in depth (64) and
// size (16 MiB), whatever the input.
Parsed parse_cluster(std::string_view text, const Defaults& defaults = {});

// Reads the file ("-" is standard input). kConfigUnreadable.
Result<std::string> read_cluster_file(const std::string& file);

// Reads the file and parses it. The error is kConfigUnreadable, or kConfig with every mistake as a
// detail line.
Result<Cluster> load_cluster(const std::string& file);
Result<Cluster> load_cluster(const std::string& file, std::string_view text,  // which was read already
                             const Defaults& defaults = {});

// The same cluster as a complete cluster file: every default spelled out, passwords left out
// unless they come from env or file. parse_cluster(to_json(c)) gives c again (literal passwords
// excepted).
std::string to_json(const Cluster& cluster);

}  // namespace pgb::model
