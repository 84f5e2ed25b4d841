// The files of the web page, which are part of the executable.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace pgb::web {

struct PageFile {
  std::string_view name;  // "app.js"
  std::string_view type;  // "text/javascript; charset=utf-8"
  std::string_view plain;
  std::string_view packed;  // the same, by gzip
  std::string etag;         // with its quotes; another one for other contents
};

const std::vector<PageFile>& page_files();
// Null if there is none.
const PageFile* find_page_file(std::string_view name);

}  // namespace pgb::web
