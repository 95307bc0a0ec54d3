#include "image/stream.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <thread>

#include "base/fd.h"
#include "base/ids.h"
#include "image/byte_stream.h"
#include "image/group.pb.h"
#include "image/stream_format.h"

namespace martlet::image {
namespace {

using ::testing::HasSubstr;

class MemoryWriter final : public ByteWriter {
 public:
  Result<void> write(std::span<const std::span<const std::byte>> pieces) override {
    for (auto piece : pieces) bytes.insert(bytes.end(), piece.begin(), piece.end());
    return {};
  }
  std::vector<std::byte> bytes;
};

// Hands out at most `step` bytes per read, as a connection may.
class MemoryReader final : public ByteReader {
 public:
  MemoryReader(std::span<const std::byte> bytes, size_t step) : bytes_(bytes), step_(step) {}
  Result<size_t> read(std::span<std::byte> buffer) override {
    size_t count = std::min({buffer.size(), bytes_.size(), step_});
    std::copy_n(bytes_.begin(), count, buffer.begin());
    bytes_ = bytes_.subspan(count);
    return count;
  }

 private:
  std::span<const std::byte> bytes_;
  size_t step_;
};

std::vector<std::byte> page_of(int value, size_t pages = 1) {
  return std::vector<std::byte>(pages * kPageSize, static_cast<std::byte>(value));
}

void put_small_stream(Sink& sink, uint32_t version = kFormatVersion) {
  Header header;
  header.set_version(version);
  header.set_product("test");
  ASSERT_TRUE(put_message(sink, RecordType::kHeader, header));
  PageRun run{.owner = 1, .flags = 0, .address = 0x1000, .length = kPageSize};
  ASSERT_TRUE(put_pages(sink, run, page_of(7)));
  ASSERT_TRUE(put_zero_pages(sink, run));
  ASSERT_TRUE(sink.put(RecordType::kEnd, {}, {}));
  ASSERT_TRUE(sink.flush());
}

std::vector<std::byte> small_stream(uint32_t version = kFormatVersion) {
  MemoryWriter writer;
  put_small_stream(*make_sink(writer), version);
  return writer.bytes;
}

Result<size_t> read_to_end(Source& source) {
  for (size_t count = 1;; ++count) {
    Record record = TRY(source.next());
    if (record.type == RecordType::kEnd) return count;
  }
}

Result<size_t> read_bytes(std::span<const std::byte> bytes, size_t step = SIZE_MAX) {
  MemoryReader reader(bytes, step);
  return read_to_end(*make_source(reader));
}

Fd memory_file(std::span<const std::byte> bytes) {
  Fd file(::memfd_create("image", MFD_CLOEXEC));
  EXPECT_TRUE(write_full(file.get(), bytes));
  ::lseek(file.get(), 0, SEEK_SET);
  return file;
}

Error error_of(const Result<size_t>& result) {
  EXPECT_FALSE(result.has_value());
  return result ? Error(Code::kSystem, "no error") : result.error();
}

TEST(Stream, GivesBackWhatWasPut) {
  auto bytes = small_stream();
  MemoryReader reader(bytes, 5);
  auto source = make_source(reader);
  auto header = source->next();
  ASSERT_TRUE(header);
  EXPECT_EQ(parse_as<Header>(*header)->product(), "test");
  auto pages = source->next();
  ASSERT_TRUE(pages);
  EXPECT_EQ(parse_run(*pages)->address, 0x1000u);
  EXPECT_TRUE(std::ranges::equal(pages->body, page_of(7)));
  EXPECT_EQ(source->next()->type, RecordType::kZeroPages);
  EXPECT_EQ(source->next()->type, RecordType::kEnd);
}

TEST(Stream, EveryTruncationIsABadImage) {
  auto bytes = small_stream();
  for (size_t length = 0; length < bytes.size(); ++length) {
    auto part = std::span(bytes).first(length);
    EXPECT_EQ(error_of(read_bytes(part)).code(), Code::kBadImage) << length;
    EXPECT_EQ(error_of(read_bytes(part, 4093)).code(), Code::kBadImage) << length;
  }
}

TEST(Stream, EveryTruncatedFileIsABadImage) {
  auto bytes = small_stream();
  Fd file = memory_file(bytes);
  for (size_t length = bytes.size(); length-- > 0;) {
    ASSERT_EQ(::ftruncate(file.get(), static_cast<off_t>(length)), 0);
    EXPECT_EQ(error_of(read_to_end(*make_file_source(file.get()))).code(), Code::kBadImage);
  }
}

TEST(Stream, EveryFlippedBitIsABadImage) {
  auto bytes = small_stream();
  for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    auto mask = static_cast<std::byte>(1 << (bit % 8));
    bytes[bit / 8] ^= mask;
    EXPECT_EQ(error_of(read_bytes(bytes)).code(), Code::kBadImage) << bit;
    bytes[bit / 8] ^= mask;
  }
}

TEST(Stream, MessageNamesRecordAndOffset) {
  auto bytes = small_stream();
  bytes.back() ^= std::byte{1};
  auto offset = std::to_string(bytes.size() - sizeof(RecordHeader));
  EXPECT_THAT(error_of(read_bytes(bytes)).to_string(),
              HasSubstr("image record 3 at byte " + offset));
}

TEST(Stream, NewerVersionIsNamed) {
  Error error = error_of(read_bytes(small_stream(kFormatVersion + 1)));
  EXPECT_EQ(error.code(), Code::kBadImage);
  EXPECT_THAT(error.to_string(), HasSubstr("format version " + std::to_string(kFormatVersion + 1)));
}

TEST(Stream, OtherFilesAreNotImages) {
  std::vector<std::byte> text(4096, std::byte{'x'});
  EXPECT_THAT(error_of(read_bytes(text)).to_string(), HasSubstr("not a Martlet image"));
}

TEST(Stream, RepeatedRecordIsFound) {
  MemoryWriter writer;
  auto sink = make_sink(writer);
  ASSERT_TRUE(sink->put(RecordType::kIpc, {}, {}));
  ASSERT_TRUE(sink->flush());
  auto once = writer.bytes;
  writer.bytes.insert(writer.bytes.end(), once.begin(), once.end());
  EXPECT_THAT(error_of(read_bytes(writer.bytes)).to_string(), HasSubstr("found record 0 here"));
}

TEST(Stream, HugeLengthsAreRefusedBeforeAnythingIsRead) {
  RecordHeader header = make_record_header(RecordType::kPages, 0, {}, {});
  header.body_length = kMaxBodyBytes + 1;
  auto bytes = std::as_bytes(std::span(&header, 1));
  EXPECT_THAT(error_of(read_bytes(bytes)).to_string(), HasSubstr("impossible length"));
}

TEST(Stream, SinkRefusesWhatTheSourceWouldRefuse) {
  MemoryWriter writer;
  std::vector<std::byte> body(kMaxBodyBytes + 1);
  EXPECT_EQ(make_sink(writer)->put(RecordType::kPages, {}, body).error().code(),
            Code::kUnsupported);
}

TEST(Stream, LargeBodiesSurviveAFile) {
  Fd file(::memfd_create("image", MFD_CLOEXEC));
  auto sink = make_file_sink(file.get());
  constexpr size_t kPages = 1024;
  constexpr int kRuns = 12;  // more than two windows of the mapping
  for (int i = 0; i < kRuns; ++i) {
    PageRun run{.owner = 1, .flags = 0, .address = 0, .length = kPages * kPageSize};
    ASSERT_TRUE(put_pages(*sink, run, page_of(i, kPages)));
    ASSERT_TRUE(put_zero_pages(*sink, run));
  }
  ASSERT_TRUE(sink->put(RecordType::kEnd, {}, {}));
  ASSERT_TRUE(sink->flush());
  ::lseek(file.get(), 0, SEEK_SET);
  auto source = make_file_source(file.get());
  for (int i = 0; i < kRuns; ++i) {
    auto pages = source->next();
    ASSERT_TRUE(pages) << pages.error().to_string();
    EXPECT_TRUE(std::ranges::equal(pages->body, page_of(i, kPages)));
    ASSERT_EQ(source->next()->type, RecordType::kZeroPages);
  }
  EXPECT_EQ(source->next()->type, RecordType::kEnd);
}

TEST(Stream, WorksThroughAPipe) {
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  Fd read_end(ends[0]), write_end(ends[1]);
  std::jthread writer([fd = std::move(write_end)] { put_small_stream(*make_file_sink(fd.get())); });
  auto count = read_to_end(*make_file_source(read_end.get()));
  ASSERT_TRUE(count) << count.error().to_string();
  EXPECT_EQ(*count, 4u);
}

TEST(Stream, ImpossiblePageRunsAreRefused) {
  auto refused = [](PageRun run, size_t body_bytes, RecordType type = RecordType::kPages) {
    std::vector<std::byte> body(body_bytes);
    return !parse_run({.type = type, .head = std::as_bytes(std::span(&run, 1)), .body = body});
  };
  EXPECT_TRUE(refused({1, 0, 0x1001, 4096}, 4096));
  EXPECT_TRUE(refused({1, 0, 0x1000, 4096}, 8192));
  EXPECT_TRUE(refused({1, 0, 0x1000, 0}, 0));
  EXPECT_TRUE(refused({1, 2, 0x1000, 4096}, 4096));
  EXPECT_TRUE(refused({1, 0, UINT64_MAX - 4095, 8192}, 0, RecordType::kZeroPages));
  EXPECT_FALSE(refused({1, 0, 0x1000, 1u << 30}, 0, RecordType::kZeroPages));
}

}  // namespace
}  // namespace martlet::image
