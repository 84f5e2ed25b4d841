// How positions and amounts stand in sentences.
#pragma once

#include <string>

#include "ha/view.h"

namespace pgb::ha {

std::string to_text(Lsn lsn);                   // "0/3000060"
std::string to_text(const Position& position);  // "0/3000060 on timeline 2"
std::string bytes(uint64_t number);             // "512 bytes", "12 MB"
std::string seconds(Duration time);             // "1.5 s"

}  // namespace pgb::ha
