#include "engine/memory/ranges.h"

#include <algorithm>

namespace martlet::engine {

Ranges subtract(const Ranges& ranges, const Ranges& holes) {
  Ranges rest;
  auto hole = holes.begin();
  for (sys::Range range : ranges) {
    while (hole != holes.end() && hole->end <= range.start) ++hole;
    for (auto next = hole; next != holes.end() && next->start < range.end; ++next) {
      if (next->start > range.start) rest.push_back({range.start, next->start});
      range.start = std::max(range.start, next->end);
    }
    if (range.start < range.end) rest.push_back(range);
  }
  return rest;
}

Ranges unite(const Ranges& a, const Ranges& b) {
  Ranges all;
  all.reserve(a.size() + b.size());
  auto left = a.begin();
  auto right = b.begin();
  while (left != a.end() || right != b.end()) {
    bool take_left = right == b.end() || (left != a.end() && left->start < right->start);
    append(all, take_left ? *left++ : *right++);
  }
  return all;
}

Ranges intersect(const Ranges& a, const Ranges& b) {
  Ranges common;
  auto left = a.begin();
  auto right = b.begin();
  while (left != a.end() && right != b.end()) {
    sys::Range both{std::max(left->start, right->start), std::min(left->end, right->end)};
    if (both.start < both.end) append(common, both);
    if (left->end < right->end)
      ++left;
    else
      ++right;
  }
  return common;
}

Ranges clip(const Ranges& ranges, sys::Range within) {
  Ranges inside;
  auto ends_later = std::ranges::upper_bound(ranges, within.start, {}, &sys::Range::end);
  for (auto range = ends_later; range != ranges.end() && range->start < within.end; ++range)
    inside.push_back({std::max(range->start, within.start), std::min(range->end, within.end)});
  return inside;
}

uint64_t total_size(const Ranges& ranges) {
  uint64_t size = 0;
  for (const sys::Range& range : ranges) size += range.size();
  return size;
}

}  // namespace martlet::engine
