#include "engine/mounts/mount_copies.h"

#include <gtest/gtest.h>

namespace martlet::engine {
namespace {

constexpr const char* kSource =
    "20 1 0:10 / / rw - overlay o rw\n"
    "21 20 0:11 / /run rw - tmpfs t rw\n"
    "22 21 0:12 / /run/lock rw - tmpfs t rw\n"
    "23 21 0:13 / /run rw - tmpfs stacked rw\n";

std::vector<uint64_t> ids_of(const std::vector<Mount>& mounts) {
  std::vector<uint64_t> ids;
  for (const Mount& mount : mounts) ids.push_back(mount.id);
  return ids;
}

TEST(MountCopiesTest, finds_all_of_an_unchanged_copy) {
  const auto copy = parse_mounts(
      "50 2 0:10 / / rw - overlay o rw\n"
      "53 51 0:13 / /run rw - tmpfs stacked rw\n"
      "51 50 0:11 / /run rw - tmpfs t rw\n"
      "52 51 0:12 / /run/lock rw - tmpfs t rw\n");
  const auto found = as_in_copy(parse_mounts(kSource), copy);
  EXPECT_EQ(ids_of(found), (std::vector<uint64_t>{50, 51, 52, 53}));
  EXPECT_EQ(found[0].parent, 2u);
  EXPECT_EQ(found[3].parent, 51u);
}

TEST(MountCopiesTest, what_is_gone_keeps_its_id_and_what_it_lay_on) {
  const auto copy = parse_mounts(
      "50 2 0:10 / / rw - overlay o rw\n"
      "51 50 0:11 / /run rw - tmpfs t rw\n"
      "53 51 0:14 / /run/lock rw - tmpfs another rw\n");
  const auto found = as_in_copy(parse_mounts(kSource), copy);
  EXPECT_EQ(ids_of(found), (std::vector<uint64_t>{50, 51, 22, 23}));
  EXPECT_EQ(found[2].parent, 51u);
}

// On another mount it was made anew or moved.
TEST(MountCopiesTest, what_lies_on_another_mount_is_no_copy) {
  const auto copy = parse_mounts(
      "50 2 0:10 / / rw - overlay o rw\n"
      "51 50 0:20 / /run rw - tmpfs other rw\n"
      "52 51 0:12 / /run/lock rw - tmpfs t rw\n");
  EXPECT_EQ(ids_of(as_in_copy(parse_mounts(kSource), copy)),
            (std::vector<uint64_t>{50, 21, 22, 23}));
}

TEST(MountCopiesTest, nothing_is_of_another_root) {
  const auto copy = parse_mounts(
      "50 2 0:30 / / rw - tmpfs root rw\n"
      "51 50 0:11 / /run rw - tmpfs t rw\n");
  EXPECT_EQ(ids_of(as_in_copy(parse_mounts(kSource), copy)),
            (std::vector<uint64_t>{20, 21, 22, 23}));
}

}  // namespace
}  // namespace martlet::engine
