#include "migrate/content_diff.h"

#include <fcntl.h>
#include <unistd.h>

#include <random>

#include "base/test_util.h"

namespace martlet::migrate {
namespace {

constexpr uint32_t kBlock = 16u << 10;
constexpr uint64_t kSize = (20u << 20) + 1234;  // several threads' turns, and a short last block

// A file and its copy, which gets what diff_content tells.
class ContentDiff : public testing::Test {
 protected:
  void SetUp() override {
    RecordProperty("seed", static_cast<int>(seed_));
    std::vector<char> bytes(kSize);
    for (size_t at = 0; at + 4 <= bytes.size(); at += 4) {
      uint32_t word = random_();
      std::copy_n(reinterpret_cast<const char*>(&word), 4, bytes.data() + at);
    }
    file_ = must(open_file(directory_ / "file", O_RDWR | O_CREAT, 0600));
    copy_ = must(open_file(directory_ / "copy", O_RDWR | O_CREAT, 0600));
    must(write_full(file_.get(), std::as_bytes(std::span(bytes))));
    must(write_full(copy_.get(), std::as_bytes(std::span(bytes))));
    known_ = must(sum_blocks(file_, kBlock));
  }

  void overwrite(uint64_t offset) { ASSERT_EQ(pwrite(file_.get(), "changed", 7, off(offset)), 7); }
  static off_t off(uint64_t offset) { return static_cast<off_t>(offset); }

  // Brings the copy up to date; returns the bytes of content that it took.
  uint64_t bring_up_to_date(uint64_t size) {
    uint64_t told = 0;
    EXPECT_EQ(ftruncate(copy_.get(), off(size)), 0);
    auto on_data = [&](uint64_t offset, std::span<const std::byte> bytes) -> Result<void> {
      told += bytes.size();
      if (pwrite(copy_.get(), bytes.data(), bytes.size(), off(offset)) < 0) return fail_errno("w");
      return {};
    };
    auto on_hole = [&](uint64_t offset, uint64_t length) -> Result<void> {
      if (fallocate(copy_.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, off(offset),
                    off(length)) != 0)
        return fail_errno("punch");
      return {};
    };
    known_ = must(diff_content(file_, size, kBlock, known_, {.data = on_data, .hole = on_hole}));
    return told;
  }

  void expect_equal() {
    auto wanted = must(sum_blocks(file_, kBlock));
    EXPECT_EQ(must(sum_blocks(copy_, kBlock)), wanted) << "seed " << seed_;
    EXPECT_EQ(known_, wanted) << "seed " << seed_;
  }

  const uint32_t seed_ = std::random_device{}();
  std::mt19937 random_{seed_};
  TemporaryDirectory directory_;
  Fd file_;
  Fd copy_;
  std::vector<BlockSum> known_;
};

TEST_F(ContentDiff, TellsNothingOfAnEqualFile) {
  EXPECT_EQ(bring_up_to_date(kSize), 0u);
  expect_equal();
}

TEST_F(ContentDiff, TellsTheBlocksThatChanged) {
  constexpr int kChanges = 50;
  for (int i = 0; i < kChanges; ++i) overwrite(random_() % (kSize - 7));
  overwrite(kSize - 7);
  uint64_t told = bring_up_to_date(kSize);
  EXPECT_GT(told, 0u);
  EXPECT_LE(told, (2 * kChanges + 1) * uint64_t{kBlock});  // each may lie across two blocks
  expect_equal();
}

TEST_F(ContentDiff, TellsHoles) {
  constexpr uint64_t kHole = 6u << 20;
  ASSERT_EQ(fallocate(file_.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 3u << 20, kHole), 0);
  overwrite(kSize / 2);
  EXPECT_LE(bring_up_to_date(kSize), 2 * uint64_t{kBlock});
  expect_equal();
}

TEST_F(ContentDiff, FollowsTheSize) {
  constexpr uint64_t kShorter = (9u << 20) + kBlock * 3;  // no block is cut
  ASSERT_EQ(ftruncate(file_.get(), off(kShorter)), 0);
  known_.resize(kShorter / kBlock);
  EXPECT_EQ(bring_up_to_date(kShorter), 0u);
  expect_equal();
  constexpr uint64_t kLonger = kShorter + (5u << 20);
  ASSERT_EQ(ftruncate(file_.get(), off(kLonger)), 0);
  overwrite(kLonger - 7);
  EXPECT_LE(bring_up_to_date(kLonger), 2 * uint64_t{kBlock});
  expect_equal();
}

}  // namespace
}  // namespace martlet::migrate
