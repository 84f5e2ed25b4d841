#include "runtime/docker_text.h"

#include <time.h>

#include <algorithm>
#include <optional>

#include "base/strings.h"
#include "runtime/docker_json.h"

namespace pgb::runtime {
namespace {

constexpr size_t kFrameHeader = 8;
constexpr size_t kLongestLine = 1u << 20;
constexpr auto kBetweenTells = std::chrono::milliseconds(500);

bool is_frame(std::string_view header) {
  return static_cast<unsigned char>(header[0]) <= 2 && header[1] == 0 && header[2] == 0 && header[3] == 0;
}

size_t frame_size(std::string_view header) {
  size_t size = 0;
  for (size_t i = 4; i < kFrameHeader; ++i) size = size << 8 | static_cast<unsigned char>(header[i]);
  return size;
}

}  // namespace

namespace {

// "2026-01-31T12:00:00.123456789Z text": the stamp, all of one length, so that they sort as text.
std::string_view stamp_of(std::string_view piece) {
  const size_t space = piece.find(' ');
  const std::string_view stamp = piece.substr(0, space);
  const bool is_one = space != std::string_view::npos && stamp.size() >= 20 && stamp[4] == '-' && stamp[10] == 'T' &&
                      stamp.back() == 'Z';
  return is_one ? stamp : std::string_view();
}

void take(std::string_view piece, const std::string& after, std::string& last, std::string& text) {
  const std::string_view stamp = stamp_of(piece);
  if (!stamp.empty()) {
    if (stamp <= after) return;
    last = std::max(last, std::string(stamp));
    piece.remove_prefix(stamp.size() + 1);
  }
  text += piece;
}

}  // namespace

std::string without_stamps(std::string_view stream, std::string& last) {
  const std::string after = last;
  std::string text;
  bool framed = false;
  while (stream.size() >= kFrameHeader && is_frame(stream)) {
    framed = true;
    const size_t size = frame_size(stream);
    take(stream.substr(kFrameHeader, size), after, last, text);
    stream.remove_prefix(std::min(stream.size(), kFrameHeader + size));
  }
  if (framed) return text;  // the rest is a header that was cut
  while (!stream.empty()) {
    const size_t size = std::min(stream.find('\n'), stream.size() - 1) + 1;
    take(stream.substr(0, size), after, last, text);
    stream.remove_prefix(size);
  }
  return text;
}

std::string unix_time(const std::string& stamp) {
  std::tm utc{};
  const char* rest = ::strptime(stamp.c_str(), "%Y-%m-%dT%H:%M:%S", &utc);
  if (rest == nullptr) return "";
  std::string fraction(rest);
  if (!fraction.empty() && fraction.back() == 'Z') fraction.pop_back();
  return std::to_string(::timegm(&utc)) + fraction;
}

std::string url_escape(std::string_view text) {
  std::string escaped;
  for (char c : text) {
    bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
                 c == '.' || c == '~';
    if (plain) {
      escaped += c;
      continue;
    }
    unsigned char byte = static_cast<unsigned char>(c);
    escaped += '%';
    escaped += "0123456789ABCDEF"[byte >> 4];
    escaped += "0123456789ABCDEF"[byte & 15];
  }
  return escaped;
}

std::string lesser_api(std::string_view ours, std::string_view theirs) {
  auto numbers = [](std::string_view version) -> std::optional<std::pair<uint64_t, uint64_t>> {
    auto parts = split(version, '.');
    if (parts.size() != 2) return std::nullopt;
    auto major = parse_u64(parts[0]), minor = parse_u64(parts[1]);
    if (!major || !minor) return std::nullopt;
    return std::pair(*major, *minor);
  };
  auto a = numbers(ours), b = numbers(theirs);
  if (!a || !b) return "";
  return std::string(*a < *b ? ours : theirs);
}

std::pair<std::string, std::string> split_reference(const std::string& reference) {
  if (reference.find('@') != std::string::npos) return {reference, ""};
  size_t colon = reference.rfind(':');
  size_t slash = reference.rfind('/');
  bool has_tag = colon != std::string::npos && (slash == std::string::npos || colon > slash);
  if (!has_tag) return {reference, "latest"};
  return {reference.substr(0, colon), reference.substr(colon + 1)};
}

void ProgressReader::feed(std::string_view piece) {
  buffer_ += piece;
  size_t begin = 0;
  for (size_t end; (end = buffer_.find('\n', begin)) != std::string::npos; begin = end + 1) {
    line(std::string_view(buffer_).substr(begin, end - begin));
  }
  buffer_.erase(0, begin);
  // Some engines leave out the last line end.
  if (!buffer_.empty() && buffer_.back() == '}') {
    Json whole = parse_json(buffer_);
    if (whole.is_object()) {
      line(buffer_);
      buffer_.clear();
    }
  }
  if (buffer_.size() > kLongestLine) buffer_.clear();
}

void ProgressReader::line(std::string_view text) {
  Json event = parse_json(text);
  if (!event.is_object()) return;
  std::string failure = text_of(event, "error");
  if (failure.empty()) failure = text_of(part_of(event, "errorDetail"), "message");
  if (!failure.empty()) error_ = failure;
  last_status_ = text_of(event, "status");
  const Json& detail = part_of(event, "progressDetail");
  std::string id = text_of(event, "id");
  int64_t total = number_of(detail, "total");
  if (id.empty() || last_status_ != "Downloading" || total <= 0) return;
  layers_[id] = {number_of(detail, "current"), total};
  tell();
}

void ProgressReader::tell() {
  auto now = std::chrono::steady_clock::now();
  if (!tell_ || now - told_ < kBetweenTells) return;
  told_ = now;
  Layer sum;
  for (const auto& [id, layer] : layers_) {
    sum.current += layer.current;
    sum.total += layer.total;
  }
  tell_(std::to_string(sum.current / 1000000) + " / " + std::to_string(sum.total / 1000000) + " MB");
}

}  // namespace pgb::runtime
