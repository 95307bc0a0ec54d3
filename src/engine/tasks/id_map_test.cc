#include "engine/tasks/id_map.h"

#include "base/test_util.h"

namespace martlet::engine {
namespace {

IdMap map_of(const IdMap& parent, std::string_view text) {
  return must(IdMap::below(parent, must(parse_id_ranges(text))));
}

TEST(IdMapTest, ReadsWhatTheKernelPrints) {
  auto ranges = must(parse_id_ranges("         0       1000          1\n         5  7 3\n"));
  EXPECT_EQ(id_map_text(ranges), "0 1000 1\n5 7 3\n");
  EXPECT_EQ(must(parse_id_ranges("")).size(), 0);
  EXPECT_FALSE(parse_id_ranges("0 x 1\n").has_value());
}

TEST(IdMapTest, NumbersOfTheGroupAreItsOwn) {
  const IdMap group = IdMap::of_group();
  EXPECT_EQ(group.inside(0), 0u);
  EXPECT_EQ(group.inside(4294967294), 4294967294u);
  EXPECT_EQ(group.inside(4294967295), std::nullopt);
}

TEST(IdMapTest, NestedMapsAreOneBehindTheOther) {
  const IdMap outer = map_of(IdMap::of_group(), "0 1000 1\n1 5000 100\n");
  const IdMap inner = map_of(outer, "1000 0 1\n2000 11 5\n");
  EXPECT_EQ(inner.inside(1000), 1000u);
  EXPECT_EQ(inner.inside(5010), 2000u);
  EXPECT_EQ(inner.inside(5014), 2004u);
  EXPECT_EQ(inner.inside(5015), std::nullopt);
  EXPECT_EQ(inner.inside(0), std::nullopt);
  EXPECT_EQ(inner.any_inside(), 1000u);
}

TEST(IdMapTest, WithoutRangesThereIsNoId) {
  const IdMap none = map_of(IdMap::of_group(), "");
  EXPECT_EQ(none.inside(0), std::nullopt);
  EXPECT_EQ(none.any_inside(), std::nullopt);
}

TEST(IdMapTest, RefusesWhatNoKernelMaps) {
  const IdMap outer = map_of(IdMap::of_group(), "0 1000 2\n");
  for (std::string_view text : {"0 2 1\n", "0 1 2\n", "4294967295 0 1\n", "4294967294 0 2\n"})
    EXPECT_FALSE(IdMap::below(outer, must(parse_id_ranges(text))).has_value()) << text;
}

}  // namespace
}  // namespace martlet::engine
