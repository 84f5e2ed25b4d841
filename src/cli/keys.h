// Keys as a terminal sends them: some are more than one byte.
#pragma once

#include <optional>
#include <string>

namespace pgb::cli {

// A key of one byte is that byte (Return is '\n'); these are the others that mean something here.
enum Key : int { kEscape = 27, kUp = 256, kDown, kPageUp, kPageDown, kHome, kEnd, kF1, kOther };

// Takes the first key out of what was read; nothing if there is none. A sequence that is not known goes as a whole, as
// kOther.
std::optional<int> take_key(std::string& bytes);

inline bool is_quit(int key) { return key == 'q' || key == 'Q'; }
inline bool is_help(int key) { return key == '?' || key == 'h' || key == kF1; }

}  // namespace pgb::cli
