#include "runtime/tar.h"

#include <array>
#include <cstdio>
#include <cstring>

#include "base/strings.h"

namespace pgb::runtime {
namespace {

constexpr size_t kBlock = 512;
constexpr size_t kNameSize = 100;
constexpr size_t kPrefixSize = 155;
constexpr uint64_t kMaxSize = 077777777777;  // eleven octal digits

// POSIX.1-1988 "ustar": fields at fixed offsets, numbers in octal.
struct Header {
  std::array<char, kBlock> bytes{};

  void text(size_t offset, std::string_view value) { value.copy(bytes.data() + offset, value.size()); }
  void octal(size_t offset, int digits, uint64_t value) {
    char number[24];
    std::snprintf(number, sizeof number, "%0*llo", digits, static_cast<unsigned long long>(value));
    text(offset, number);
  }
  void checksum() {
    std::memset(bytes.data() + 148, ' ', 8);
    unsigned sum = 0;
    for (char c : bytes) sum += static_cast<unsigned char>(c);
    octal(148, 6, sum);
    bytes[154] = '\0';
  }
};

bool is_safe(std::string_view name) {
  if (name.empty() || name.front() == '/' || name.find('\0') != std::string_view::npos) return false;
  for (const std::string& part : split(name, '/')) {
    if (part.empty() || part == "." || part == "..") return false;
  }
  return true;
}

// Where the name is cut into prefix and name: at a slash that lets both fit; npos if there is none.
size_t cut_of(std::string_view name) {
  for (size_t slash = name.find('/'); slash != std::string_view::npos; slash = name.find('/', slash + 1)) {
    if (slash <= kPrefixSize && name.size() - slash - 1 <= kNameSize) return slash;
  }
  return std::string_view::npos;
}

}  // namespace

Status TarWriter::add_header(std::string_view name, size_t size, unsigned mode, char type, unsigned owner) {
  if (!is_safe(name)) return Error(Code::kUsage, "'" + std::string(name) + "' cannot be the name of a file in a unit");
  if (size > kMaxSize) return Error(Code::kUsage, std::string(name) + " is too long for an archive");
  Header header;
  if (name.size() <= kNameSize) {
    header.text(0, name);
  } else {
    size_t cut = cut_of(name);
    if (cut == std::string_view::npos) {
      return Error(Code::kUsage, "the name '" + std::string(name) + "' is too long for an archive");
    }
    header.text(0, name.substr(cut + 1));
    header.text(345, name.substr(0, cut));
  }
  header.octal(100, 7, mode & 07777);
  header.octal(108, 7, owner);  // uid
  header.octal(116, 7, owner);  // gid
  header.octal(124, 11, size);
  header.octal(136, 11, 0);  // time of last change: none, so that equal contents make equal archives
  header.bytes[156] = type;
  header.text(257, std::string_view("ustar\0"
                                    "00",
                                    8));
  if (owner == 0) {
    header.text(265, "root");
    header.text(297, "root");
  }
  header.checksum();
  bytes_.append(header.bytes.data(), header.bytes.size());
  return {};
}

Status TarWriter::add_dir(std::string_view name, unsigned mode) { return add_header(name, 0, mode, '5'); }

Status TarWriter::add_file(std::string_view name, std::string_view content, unsigned mode, unsigned owner) {
  PGB_TRY(add_header(name, content.size(), mode, '0', owner));
  bytes_ += content;
  bytes_.append((kBlock - content.size() % kBlock) % kBlock, '\0');
  return {};
}

std::string TarWriter::finish() {
  bytes_.append(2 * kBlock, '\0');
  return std::exchange(bytes_, std::string());
}

}  // namespace pgb::runtime
