#include "engine/tasks/id_map.h"

#include <fmt/format.h>

#include <limits>
#include <sstream>

namespace martlet::engine {
namespace {

// The highest number stands for no id.
constexpr uint32_t kIds = std::numeric_limits<uint32_t>::max();

bool lies_in(uint32_t first, uint32_t count, uint32_t begin, uint32_t length) {
  return first >= begin && first - begin < length && count <= length - (first - begin);
}

}  // namespace

Result<IdRanges> parse_id_ranges(std::string_view text) {
  IdRanges ranges;
  std::istringstream lines{std::string(text)};
  uint32_t inside = 0;
  uint32_t outside = 0;
  uint32_t count = 0;
  while (lines >> inside >> outside >> count) {
    image::IdRange& range = *ranges.Add();
    range.set_inside(inside);
    range.set_outside(outside);
    range.set_count(count);
  }
  if (!lines.eof()) return fail(Code::kSystem, "the map of a user namespace is not readable");
  return ranges;
}

std::string id_map_text(const IdRanges& ranges) {
  std::string text;
  for (const image::IdRange& range : ranges)
    text += fmt::format("{} {} {}\n", range.inside(), range.outside(), range.count());
  return text;
}

IdMap IdMap::of_group() {
  IdMap map;
  map.ranges_.push_back({0, 0, kIds});
  return map;
}

std::optional<IdMap::Range> IdMap::translate(const IdMap& parent, const image::IdRange& range) {
  for (const Range& outer : parent.ranges_)
    if (lies_in(range.outside(), range.count(), outer.inside, outer.count))
      return Range{range.inside(), outer.in_group + (range.outside() - outer.inside),
                   range.count()};
  return std::nullopt;
}

Result<IdMap> IdMap::below(const IdMap& parent, const IdRanges& ranges) {
  IdMap map;
  for (const image::IdRange& range : ranges) {
    auto translated = translate(parent, range);
    if (!translated || !lies_in(range.inside(), range.count(), 0, kIds))
      return fail(Code::kBadImage, "a user namespace maps ids that the one above does not have");
    map.ranges_.push_back(*translated);
  }
  return map;
}

std::optional<uint32_t> IdMap::inside(uint32_t id) const {
  for (const Range& range : ranges_)
    if (lies_in(id, 1, range.in_group, range.count)) return range.inside + (id - range.in_group);
  return std::nullopt;
}

std::optional<uint32_t> IdMap::any_inside() const {
  if (ranges_.empty()) return std::nullopt;
  return ranges_.front().inside;
}

}  // namespace martlet::engine
