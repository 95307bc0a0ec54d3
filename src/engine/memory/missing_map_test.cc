#include "engine/memory/missing_map.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

namespace martlet::engine {
namespace {

constexpr uint64_t kPage = 4096;

sys::Range pages(uint64_t first, uint64_t last) {
  return {first * kPage, last * kPage};
}

TEST(MissingMap, PagesComeFromTheirOwnAddress) {
  MissingMap map({pages(1, 4), pages(10, 12)});
  EXPECT_EQ(map.origin_of(2 * kPage), 2 * kPage);
  EXPECT_EQ(map.origin_of(11 * kPage), 11 * kPage);
  EXPECT_FALSE(map.origin_of(4 * kPage).has_value());
  EXPECT_FALSE(map.origin_of(0).has_value());
}

TEST(MissingMap, MovedPagesKeepTheirOrigin) {
  MissingMap map({pages(1, 9)});
  map.move(pages(3, 5), 100 * kPage);
  EXPECT_FALSE(map.origin_of(3 * kPage).has_value());
  EXPECT_EQ(map.origin_of(101 * kPage), 4 * kPage);
  EXPECT_EQ(map.origin_of(5 * kPage), 5 * kPage);
  auto place = map.place_of(pages(3, 6));
  ASSERT_TRUE(place.has_value());
  EXPECT_EQ(place->here, (sys::Range{100 * kPage, 102 * kPage}));
  EXPECT_EQ(place->origin, 3 * kPage);
  EXPECT_FALSE(map.place_of(pages(9, 20)).has_value());
  EXPECT_EQ(map.origins(), (Ranges{pages(1, 9)}));
}

// Against a map of single pages.
TEST(MissingMap, AgreesWithAPageByPageModel) {
  auto seed = std::random_device()();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937 random(seed);
  auto draw = [&](uint64_t below) { return random() % below; };
  constexpr uint64_t kPages = 64;
  for (int run = 0; run < 50; ++run) {
    MissingMap map({pages(0, kPages / 2)});
    std::map<uint64_t, uint64_t> model;
    for (uint64_t page = 0; page < kPages / 2; ++page) model[page] = page;
    for (int step = 0; step < 40; ++step) {
      uint64_t first = draw(kPages);
      uint64_t last = first + 1 + draw(8);
      if (draw(2) == 0) {
        map.drop(pages(first, last));
        for (uint64_t page = first; page < last; ++page) model.erase(page);
      } else {
        uint64_t to = kPages + draw(kPages);
        bool overlaps = to < last && first < to + (last - first);
        if (overlaps) continue;
        map.move(pages(first, last), to * kPage);
        for (uint64_t page = first; page < last; ++page) {
          auto known = model.extract(page);
          model.erase(to + (page - first));
          if (!known.empty()) model[to + (page - first)] = known.mapped();
        }
      }
      for (uint64_t page = 0; page < 3 * kPages; ++page) {
        auto origin = map.origin_of(page * kPage);
        auto wanted = model.find(page);
        ASSERT_EQ(origin.has_value(), wanted != model.end()) << "page " << page;
        if (!origin) continue;
        ASSERT_EQ(*origin, wanted->second * kPage) << "page " << page;
        auto place = map.place_of({*origin, *origin + kPage});
        ASSERT_TRUE(place.has_value()) << "page " << page;
        ASSERT_EQ(place->here.start, page * kPage);
      }
    }
  }
}

}  // namespace
}  // namespace martlet::engine
