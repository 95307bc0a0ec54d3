#include "engine/memory/ranges.h"

#include <gtest/gtest.h>

#include <random>
#include <set>

namespace martlet::engine {
namespace {

constexpr uint64_t kPages = 200;

std::set<uint64_t> pages_of(const Ranges& ranges) {
  std::set<uint64_t> pages;
  uint64_t before = 0;
  for (const sys::Range& range : ranges) {
    EXPECT_LT(range.start, range.end);
    EXPECT_TRUE(pages.empty() || before <= range.start);
    before = range.end;
    for (uint64_t page = range.start; page < range.end; ++page) pages.insert(page);
  }
  return pages;
}

Ranges some_ranges(std::mt19937& random) {
  Ranges ranges;
  for (uint64_t at = random() % 8; at < kPages;) {
    uint64_t end = at + 1 + random() % 9;
    ranges.push_back({at, end});
    at = end + 1 + random() % 20;
  }
  return ranges;
}

// Against sets of single numbers.
TEST(Ranges, AgreeWithSets) {
  auto seed = std::random_device()();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937 random(seed);
  for (int run = 0; run < 200; ++run) {
    Ranges a = some_ranges(random);
    Ranges b = some_ranges(random);
    auto in_a = pages_of(a);
    auto in_b = pages_of(b);
    std::set<uint64_t> both, either = in_a, only_a;
    either.insert(in_b.begin(), in_b.end());
    for (uint64_t page : in_a) (in_b.contains(page) ? both : only_a).insert(page);
    EXPECT_EQ(pages_of(unite(a, b)), either);
    EXPECT_EQ(pages_of(intersect(a, b)), both);
    EXPECT_EQ(pages_of(subtract(a, b)), only_a);
    EXPECT_EQ(total_size(a), in_a.size());
    uint64_t start = random() % kPages, end = start + 1 + random() % kPages;
    EXPECT_EQ(clip(a, {start, end}), intersect(a, {{start, end}}));
  }
}

TEST(Ranges, TouchingRangesBecomeOne) {
  EXPECT_EQ(unite({{0, 4}}, {{4, 8}}), (Ranges{{0, 8}}));
  EXPECT_EQ(unite({}, {}), Ranges{});
  EXPECT_EQ(subtract({{0, 8}}, {{0, 8}}), Ranges{});
}

}  // namespace
}  // namespace martlet::engine
