// Invariants. A broken CHECK is a defect of Martlet, never a property of its input, so the process
// stops at once, in release builds too: going on would endanger a container.
#pragma once

#include <source_location>
#include <string_view>

namespace martlet::internal {
[[noreturn]] void check_failed(std::string_view condition, std::source_location where);
}

#define CHECK(condition)                                                              \
  do {                                                                                \
    if (!(condition)) [[unlikely]]                                                    \
      ::martlet::internal::check_failed(#condition, std::source_location::current()); \
  } while (false)
