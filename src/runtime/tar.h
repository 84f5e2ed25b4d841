// Writes a tar archive (ustar) in memory: what the Engine's archive and import calls want.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace pgb::runtime {

// Directories belong to root, files to `owner` (user and group). Names are relative, without "..", at most 255 bytes
// (kUsage otherwise).
class TarWriter {
 public:
  Status add_dir(std::string_view name, unsigned mode);
  Status add_file(std::string_view name, std::string_view content, unsigned mode, unsigned owner = 0);

  // The archive with its end mark; the writer is empty afterwards.
  std::string finish();

 private:
  Status add_header(std::string_view name, size_t size, unsigned mode, char type, unsigned owner = 0);
  std::string bytes_;
};

}  // namespace pgb::runtime
