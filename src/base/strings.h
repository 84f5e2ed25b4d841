// Small text helpers. None of them throws; parsers return nothing on bad input.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pgb {

std::vector<std::string> split(std::string_view text, char separator);
std::string_view trim(std::string_view text);  // blanks, tabs, line ends
std::string join(const std::vector<std::string>& parts, std::string_view separator);

// The whole text as a decimal number that fits; nothing otherwise (no sign, blanks or rest).
std::optional<uint64_t> parse_u64(std::string_view text);
std::optional<uint64_t> parse_hex(std::string_view text);   // the same, to the base of 16
std::optional<uint16_t> parse_port(std::string_view text);  // 1..65535

// A position in the WAL, "0/3000060"; nothing if it is none.
std::optional<uint64_t> parse_lsn(std::string_view text);

// "250ms", "3s", "2m", "1h", "1d"; a bare number is seconds. Milliseconds.
std::optional<int64_t> parse_duration_ms(std::string_view text);

// The candidate nearest to `word` by edit distance if it is near enough to be a typing mistake
// (at most a third of its length, at least one); empty otherwise.
std::string_view nearest(std::string_view word, const std::vector<std::string_view>& candidates);

// The length of the UTF-8 character (RFC 3629) that begins at `at`; 0 if there is no valid one.
size_t utf8_length(std::string_view bytes, size_t at);
// Whether the bytes are UTF-8 (RFC 3629): no overlong forms, no surrogates.
bool is_utf8(std::string_view bytes);

}  // namespace pgb
