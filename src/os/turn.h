// When a thread gets its turn on a machine that has more to do than cores.
#pragma once

namespace pgb::os {

// The calling thread does little at a time, and somebody waits for it: from now on it gets its turn sooner, as far as
// the kernel lets it: by a short slice (Linux 6.12 and later), and before others where the process may ask for that
// (CAP_SYS_NICE).
void take_turns_soon();

}  // namespace pgb::os
