#include "web/page_files.h"

#include <cstdint>
#include <cstdio>

#define PGB_PAGE_FILE(number, name)                                                 \
  extern "C" const char pgb_page_plain_##number[], pgb_page_plain_##number##_end[]; \
  extern "C" const char pgb_page_packed_##number[], pgb_page_packed_##number##_end[];
#include "page_files.inc"
#undef PGB_PAGE_FILE

namespace pgb::web {
namespace {

std::string_view between(const char* begin, const char* end) { return {begin, static_cast<size_t>(end - begin)}; }

std::string_view type_of(std::string_view name) {
  const std::string_view ending = name.substr(std::min(name.rfind('.'), name.size() - 1));
  if (ending == ".html") return "text/html; charset=utf-8";
  if (ending == ".js") return "text/javascript; charset=utf-8";
  if (ending == ".css") return "text/css; charset=utf-8";
  return ending == ".svg" ? "image/svg+xml" : "application/octet-stream";
}

// FNV-1a, 64 bits.
std::string etag_of(std::string_view text) {
  uint64_t hash = 14695981039346656037u;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211u;
  char out[24];
  std::snprintf(out, sizeof out, "\"%016llx\"", static_cast<unsigned long long>(hash));
  return out;
}

PageFile make(std::string_view name, std::string_view plain, std::string_view packed) {
  return {name, type_of(name), plain, packed, etag_of(plain)};
}

}  // namespace

const std::vector<PageFile>& page_files() {
  static const std::vector<PageFile> kFiles = {
#define PGB_PAGE_FILE(number, name)                                           \
  make(name, between(pgb_page_plain_##number, pgb_page_plain_##number##_end), \
       between(pgb_page_packed_##number, pgb_page_packed_##number##_end)),
#include "page_files.inc"
#undef PGB_PAGE_FILE
  };
  return kFiles;
}

const PageFile* find_page_file(std::string_view name) {
  for (const PageFile& file : page_files()) {
    if (file.name == name) return &file;
  }
  return nullptr;
}

}  // namespace pgb::web
