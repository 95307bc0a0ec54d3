#include "engine/mounts/mount_order.h"

#include <gtest/gtest.h>

namespace martlet::engine {
namespace {

using Order = std::vector<size_t>;

TEST(MountOrderTest, keeps_the_order_without_a_reason) {
  EXPECT_EQ(order_of_mounting({{10, 1, "/b"}, {11, 1, "/a"}, {12, 10, "/b/c"}}), Order({0, 1, 2}));
}

TEST(MountOrderTest, comes_after_what_it_lies_on) {
  EXPECT_EQ(order_of_mounting({{10, 11, "/a/b"}, {11, 1, "/a"}}), Order({1, 0}));
}

TEST(MountOrderTest, comes_after_its_source) {
  EXPECT_EQ(order_of_mounting({{10, 1, "/a", 11}, {11, 1, "/b"}}), Order({1, 0}));
}

TEST(MountOrderTest, comes_before_what_hides_it) {
  // /a/b lies on the root file system, and /a, which was moved there later, covers it.
  EXPECT_EQ(order_of_mounting({{10, 1, "/a"}, {11, 1, "/a/b"}}), Order({1, 0}));
  // Two on one point: the second lies on the first.
  EXPECT_EQ(order_of_mounting({{10, 11, "/a"}, {11, 1, "/a"}}), Order({1, 0}));
}

TEST(MountOrderTest, a_similar_name_hides_nothing) {
  EXPECT_EQ(order_of_mounting({{10, 1, "/a"}, {11, 1, "/ab"}}), Order({0, 1}));
}

TEST(MountOrderTest, there_may_be_no_order) {
  // Each shows what the other is.
  EXPECT_FALSE(order_of_mounting({{10, 1, "/a", 11}, {11, 1, "/b", 10}}));
}

}  // namespace
}  // namespace martlet::engine
