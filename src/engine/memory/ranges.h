// Sets of addresses as sorted lists of ranges that neither overlap nor touch.
#pragma once

#include <cstdint>
#include <vector>

#include "sys/pagemap.h"

namespace martlet::engine {

// The end of the page that holds the last of so many bytes.
constexpr uint64_t page_end(uint64_t size) {
  return (size + kPageSize - 1) / kPageSize * kPageSize;
}

using Ranges = std::vector<sys::Range>;

constexpr bool overlap(sys::Range a, sys::Range b) {
  return a.start < b.end && b.start < a.end;
}

// `ranges` without `holes`; both sorted and without overlap.
Ranges subtract(const Ranges& ranges, const Ranges& holes);
Ranges unite(const Ranges& a, const Ranges& b);
Ranges intersect(const Ranges& a, const Ranges& b);
// The part of `ranges` inside `within`, for which the rest is not looked at.
Ranges clip(const Ranges& ranges, sys::Range within);
uint64_t total_size(const Ranges& ranges);

}  // namespace martlet::engine
