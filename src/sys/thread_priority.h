// How the kernel shares processors between threads that all have work.
#pragma once

namespace martlet::sys {

// Of the calling thread, from kFirst to kLast; without the rights to it nothing changes.
inline constexpr int kFirst = -10;
inline constexpr int kUsual = 0;
inline constexpr int kLast = 10;
void set_niceness(int niceness);

}  // namespace martlet::sys
