// Collects what is wrong with a cluster file.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "model/topology_json.h"

namespace pgb::model {

// Line and column count from 1; the column in bytes.
struct Place {
  int line = 0;
  int column = 0;
};

class Mistakes {
 public:
  void add(Place place, std::string path, std::string text);
  bool empty() const { return found_.empty(); }

  // All of them in the order of the file; after the hundredth only their number.
  std::vector<Mistake> take();

 private:
  std::vector<Mistake> found_;
  size_t dropped_ = 0;
};

// A piece of the file fit for a message: in quotes, cut to some 60 bytes, control characters as \xNN.
std::string shown(std::string_view text);

}  // namespace pgb::model
