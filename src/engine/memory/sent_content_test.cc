// An object of shared memory and its copy on the other side, over random changes.
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <random>

#include "base/test_util.h"
#include "engine/memory/shared_objects.h"
#include "engine/test_util.h"

namespace martlet::engine {
namespace {

constexpr uint64_t kPages = 1000;
constexpr uint32_t kNumber = 7;

class SentContentTest : public testing::Test {
 protected:
  void SetUp() override {
    source_ = Fd(::memfd_create("object", MFD_CLOEXEC));
    resize(kPages * kPageSize);
  }

  void resize(uint64_t size) {
    size_ = size;
    ASSERT_EQ(::ftruncate(source_.get(), static_cast<off_t>(size)), 0);
  }
  void write(uint64_t page, uint8_t value) {
    std::vector<uint8_t> content(kPageSize, value);
    ASSERT_EQ(
        ::pwrite(source_.get(), content.data(), kPageSize, static_cast<off_t>(page * kPageSize)),
        kPageSize);
  }
  void punch(uint64_t page, uint64_t count) {
    ASSERT_EQ(
        ::fallocate(source_.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                    static_cast<off_t>(page * kPageSize), static_cast<off_t>(count * kPageSize)),
        0);
  }

  image::SharedMemory message(uint32_t id) const {
    image::SharedMemory message;
    message.set_kind(image::SHARED_MEMFD);
    message.set_name("object");
    message.set_size(size_);
    message.set_mode(0600);
    message.set_staged(kNumber);
    message.set_id(id);
    return message;
  }
  // Brings the copy up to date; returns the bytes that were sent.
  uint64_t send_round() { return send_round(read_source()); }
  uint64_t send_round(ContentReader reader) {
    EXPECT_TRUE(copy_.stage(message(0)));
    return send(kNumber, &SharedObjects::fill_staged, std::move(reader));
  }
  ContentReader read_source() const { return must(ContentReader::open(source_.get())); }
  uint64_t send_rest() {
    EXPECT_TRUE(copy_.create(message(1)));
    return send(1, &SharedObjects::fill, read_source());
  }

  std::string content(int fd) const {
    std::string bytes(size_ + 1, 'x');
    const ssize_t got = ::pread(fd, bytes.data(), bytes.size(), 0);
    bytes.resize(static_cast<size_t>(std::max<ssize_t>(0, got)));
    return bytes;
  }
  void expect_equal() {
    EXPECT_TRUE(content(must(copy_.get(1))->fd.get()) == content(source_.get()));
  }

  Fd source_;
  uint64_t size_ = 0;
  SentContent sent_;
  SharedObjects copy_;

 private:
  using Fill = Result<void> (SharedObjects::*)(const image::PageRun&, std::span<const std::byte>);
  uint64_t send(uint32_t owner, Fill fill, ContentReader reader) {
    MemorySink sink;
    const uint64_t bytes = must(sent_.put_changes(sink, owner, reader));
    for (const StoredRecord& record : sink.records) {
      const auto done = (copy_.*fill)(must(image::parse_run(record.view())), record.body);
      EXPECT_TRUE(done) << done.error().to_string();
    }
    return bytes;
  }
};

TEST_F(SentContentTest, SendsOnlyWhatChanged) {
  for (uint64_t page = 0; page < kPages; page += 2) write(page, 1);
  EXPECT_EQ(send_round(), kPages / 2 * kPageSize);
  EXPECT_EQ(send_round(), 0u);
  write(4, 2);
  write(5, 2);
  write(6, 1);  // the same again
  EXPECT_EQ(send_round(), 2 * kPageSize);
  write(999, 3);
  EXPECT_EQ(send_rest(), kPageSize);
  expect_equal();
}

TEST_F(SentContentTest, AHoleThatWasReadAgainIsZeros) {
  write(10, 1);
  write(11, 1);
  send_round();
  punch(10, 2);
  content(source_.get());  // finds zeros
  EXPECT_EQ(send_rest(), 0u);
  expect_equal();
}

TEST_F(SentContentTest, WhatBecameShorterAndLongerHasZerosAtItsEnd) {
  for (uint64_t page = 0; page < 20; ++page) write(page, 9);
  send_round();
  resize(10 * kPageSize + 50);
  send_round();
  resize(20 * kPageSize);
  send_rest();
  expect_equal();
}

TEST_F(SentContentTest, WhatGrowsWhileItIsReadComesLater) {
  write(0, 1);
  resize(50);
  ContentReader reader = read_source();
  write(0, 2);
  send_round(std::move(reader));
  resize(kPageSize);
  EXPECT_EQ(send_rest(), kPageSize);
  expect_equal();
}

TEST_F(SentContentTest, OutlookCountsWhatChanged) {
  for (uint64_t page = 0; page < kPages; ++page) write(page, 1);
  send_round();
  ContentReader reader = read_source();
  EXPECT_EQ(sent_.outlook(reader)->changed_bytes, 0u);
  for (uint64_t page = 0; page < kPages; ++page) write(page, 2);
  EXPECT_EQ(sent_.outlook(reader)->changed_bytes, kPages * kPageSize);
}

TEST_F(SentContentTest, RefusesWhatCannotBe) {
  EXPECT_EQ(copy_.fill_staged({kNumber, 0, 0, kPageSize}, {}).error().code(), Code::kBadImage);
  ASSERT_OK(copy_.stage(message(0)));
  auto other = message(0);
  other.set_name("another");
  EXPECT_EQ(copy_.stage(other).error().code(), Code::kBadImage);
  other = message(0);
  other.set_staged(0);
  EXPECT_EQ(copy_.stage(other).error().code(), Code::kBadImage);
  EXPECT_EQ(copy_.fill_staged({kNumber, 0, size_, kPageSize}, {}).error().code(), Code::kBadImage);
  copy_.keep_staged({});
  EXPECT_EQ(copy_.fill_staged({kNumber, 0, 0, kPageSize}, {}).error().code(), Code::kBadImage);
}

TEST_F(SentContentTest, FollowsRandomChanges) {
  const auto seed = std::random_device()();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937 random(seed);
  const auto draw = [&](uint64_t below) { return random() % below; };
  for (int round = 0; round < 20; ++round) {
    for (int change = 0; change < 100; ++change) {
      const uint64_t pages = size_ / kPageSize;
      const uint64_t page = draw(pages);
      if (draw(20) == 0)
        punch(page, 1 + draw(pages - page));
      else
        write(page, static_cast<uint8_t>(draw(3)));
    }
    if (draw(4) == 0) resize((1 + draw(kPages)) * kPageSize - draw(2) * 100);
    if (size_ < kPageSize) resize(kPageSize);
    send_round();
  }
  send_rest();
  expect_equal();
}

}  // namespace
}  // namespace martlet::engine
