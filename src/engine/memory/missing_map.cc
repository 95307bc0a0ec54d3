#include "engine/memory/missing_map.h"

#include <algorithm>
#include <vector>

namespace martlet::engine {

MissingMap::MissingMap(const Ranges& ranges) {
  for (const sys::Range& range : ranges) insert(range, range.start);
}

void MissingMap::insert(sys::Range here, uint64_t origin) {
  if (here.start >= here.end) return;
  segments_.insert_or_assign(here.start, Segment{here.end, origin});
  by_origin_.insert_or_assign(origin, here.start);
}

std::optional<uint64_t> MissingMap::origin_of(uint64_t address) const {
  auto next = segments_.upper_bound(address);
  if (next == segments_.begin()) return std::nullopt;
  auto [start, segment] = *std::prev(next);
  if (address >= segment.end) return std::nullopt;
  return segment.origin + (address - start);
}

std::optional<MissingMap::Piece> MissingMap::place_of(sys::Range origin) const {
  auto at = by_origin_.upper_bound(origin.start);
  if (at != by_origin_.begin()) --at;
  for (; at != by_origin_.end() && at->first < origin.end; ++at) {
    auto [begins, start] = *at;
    uint64_t length = segments_.at(start).end - start;
    uint64_t first = std::max(origin.start, begins);
    uint64_t last = std::min(origin.end, begins + length);
    if (first >= last) continue;
    uint64_t here = start + (first - begins);
    return Piece{{here, here + (last - first)}, first};
  }
  return std::nullopt;
}

void MissingMap::drop(sys::Range here) {
  auto at = segments_.upper_bound(here.start);
  if (at != segments_.begin()) --at;
  while (at != segments_.end() && at->first < here.end) {
    auto [start, segment] = *at;
    if (segment.end <= here.start) {
      ++at;
      continue;
    }
    at = segments_.erase(at);
    by_origin_.erase(segment.origin);
    if (start < here.start) insert({start, here.start}, segment.origin);
    if (here.end < segment.end)
      insert({here.end, segment.end}, segment.origin + (here.end - start));
  }
}

void MissingMap::move(sys::Range from, uint64_t to) {
  std::vector<Piece> moved;
  auto at = segments_.upper_bound(from.start);
  if (at != segments_.begin()) --at;
  for (; at != segments_.end() && at->first < from.end; ++at) {
    const auto& [start, segment] = *at;
    sys::Range part{std::max(start, from.start), std::min(segment.end, from.end)};
    if (part.start >= part.end) continue;
    uint64_t here = to + (part.start - from.start);
    moved.push_back({{here, here + part.size()}, segment.origin + (part.start - start)});
  }
  drop(from);
  drop({to, to + from.size()});
  for (const Piece& piece : moved) insert(piece.here, piece.origin);
}

Ranges MissingMap::origins() const {
  Ranges all;
  for (const auto& [begins, start] : by_origin_) {
    sys::Range next{begins, begins + (segments_.at(start).end - start)};
    if (!all.empty() && all.back().end == next.start)
      all.back().end = next.end;
    else
      all.push_back(next);
  }
  return all;
}

}  // namespace martlet::engine
