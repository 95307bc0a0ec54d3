#include "engine/memory/pages.h"

#include <gtest/gtest.h>

namespace martlet::engine {
namespace {

using Ranges = std::vector<sys::Range>;

TEST(Subtract, CutsHolesOutOfRanges) {
  EXPECT_EQ(subtract({{0, 10}}, {{2, 4}, {6, 7}}), (Ranges{{0, 2}, {4, 6}, {7, 10}}));
  EXPECT_EQ(subtract({{0, 10}, {20, 30}}, {{5, 25}}), (Ranges{{0, 5}, {25, 30}}));
  EXPECT_EQ(subtract({{0, 10}}, {{0, 10}}), Ranges{});
  EXPECT_EQ(subtract({{5, 10}}, {{0, 5}, {10, 20}}), (Ranges{{5, 10}}));
  EXPECT_EQ(subtract({}, {{1, 2}}), Ranges{});
}

}  // namespace
}  // namespace martlet::engine
