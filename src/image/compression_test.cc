#include "image/compression.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <random>

#include "base/ids.h"
#include "image/byte_stream.h"
#include "image/stream_format.h"

namespace martlet::image {
namespace {

using ::testing::HasSubstr;
using Bytes = std::vector<std::byte>;

struct Kept {
  RecordType type;
  Bytes head;
  Bytes body;
  Record record() const { return {.type = type, .head = head, .body = body}; }
};

class KeepingSink final : public Sink {
 public:
  Result<void> put(RecordType type, std::span<const std::byte> head,
                   std::span<const std::byte> body) override {
    kept.push_back(
        {.type = type, .head = {head.begin(), head.end()}, .body = {body.begin(), body.end()}});
    return {};
  }
  Result<void> flush() override { return {}; }
  std::vector<Kept> kept;
};

PageRun run_of(size_t bytes) {
  return {.owner = 1, .flags = 0, .address = 0x1000, .length = bytes};
}

// Text-like: repeats itself, but not in every byte.
Bytes plain_pages(size_t pages) {
  Bytes bytes(pages * kPageSize);
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i % 251 + i / 4096);
  return bytes;
}

Bytes random_pages(size_t pages) {
  std::mt19937_64 random(42);
  Bytes bytes(pages * kPageSize);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
  return bytes;
}

Kept compressed(Codec codec, const Bytes& pages) {
  KeepingSink kept;
  CompressingSink sink(kept, codec);
  EXPECT_TRUE(put_pages(sink, run_of(pages.size()), pages));
  return kept.kept.at(0);
}

class Compression : public ::testing::TestWithParam<Codec> {
 protected:
  std::string refusal(const Kept& kept) {
    Expander expander;
    auto expanded = expander.expand(kept.record());
    if (expanded) return "";
    EXPECT_EQ(expanded.error().code(), Code::kBadImage);
    return expanded.error().to_string();
  }
};

TEST_P(Compression, BringsBackWhatWasPut) {
  for (size_t pages : {1, 16, 1024}) {
    const Bytes bytes = plain_pages(pages);
    const Kept kept = compressed(GetParam(), bytes);
    ASSERT_EQ(kept.type, RecordType::kCompressed);
    EXPECT_LT(kept.body.size(), bytes.size() / 2);
    Expander expander;
    auto record = expander.expand(kept.record());
    ASSERT_TRUE(record) << record.error().to_string();
    EXPECT_EQ(record->type, RecordType::kPages);
    EXPECT_EQ(parse_run(*record)->address, 0x1000u);
    EXPECT_TRUE(std::ranges::equal(record->body, bytes));
  }
}

TEST_P(Compression, LeavesAloneWhatDoesNotBecomeSmaller) {
  const Bytes bytes = random_pages(16);
  const Kept kept = compressed(GetParam(), bytes);
  EXPECT_EQ(kept.type, RecordType::kPages);
  EXPECT_EQ(kept.body, bytes);
}

TEST_P(Compression, RefusesDamage) {
  const Kept sound = compressed(GetParam(), plain_pages(16));
  Kept kept = sound;
  kept.head.resize(7);
  EXPECT_THAT(refusal(kept), HasSubstr("beginning of its head"));
  kept = sound;
  kept.body.resize(kept.body.size() / 2);
  EXPECT_THAT(refusal(kept), HasSubstr("contents are damaged"));
  kept = sound;
  kept.body.clear();
  EXPECT_THAT(refusal(kept), HasSubstr("contents are damaged"));
  kept = sound;
  kept.head[2] = std::byte{3};
  EXPECT_THAT(refusal(kept), HasSubstr("contents are damaged"));
  for (auto type : {RecordType::kCompressed, RecordType::kHeader, RecordType{0}, RecordType{999}}) {
    kept = sound;
    const auto number = static_cast<uint16_t>(type);
    std::memcpy(kept.head.data(), &number, sizeof number);
    EXPECT_THAT(refusal(kept), HasSubstr("holds no record"));
  }
}

TEST_P(Compression, RefusesAnotherLength) {
  const Kept sound = compressed(GetParam(), plain_pages(16));
  const auto with_length = [&](uint32_t length) {
    Kept kept = sound;
    std::memcpy(kept.head.data() + 4, &length, sizeof length);
    return refusal(kept);
  };
  EXPECT_THAT(with_length(16 * kPageSize - 1), HasSubstr("contents are damaged"));
  EXPECT_THAT(with_length(16 * kPageSize + 1), HasSubstr("contents are damaged"));
  EXPECT_THAT(with_length(kMaxBodyBytes + 1), HasSubstr("impossible length"));
  EXPECT_THAT(with_length(UINT32_MAX), HasSubstr("impossible length"));
  EXPECT_THAT(with_length(1), HasSubstr("impossible length"));
  EXPECT_EQ(with_length(16 * kPageSize), "");
}

INSTANTIATE_TEST_SUITE_P(Codecs, Compression, ::testing::Values(Codec::kLz4, Codec::kZstd),
                         [](const auto& suite) {
                           return suite.param == Codec::kLz4 ? "Lz4" : "Zstd";
                         });

class BufferedBytes final : public ByteWriter, public ByteReader {
 public:
  Result<void> write(std::span<const std::span<const std::byte>> pieces) override {
    for (auto piece : pieces) bytes.insert(bytes.end(), piece.begin(), piece.end());
    return {};
  }
  Result<size_t> read(std::span<std::byte> buffer) override {
    const size_t count = std::min(buffer.size(), bytes.size() - next);
    std::copy_n(bytes.begin() + static_cast<ptrdiff_t>(next), count, buffer.begin());
    next += count;
    return count;
  }
  Bytes bytes;
  size_t next = 0;
};

TEST(CompressedStream, IsReadLikeAnyOther) {
  const Bytes plain = plain_pages(64);
  const Bytes random = random_pages(64);
  BufferedBytes stream;
  auto records = make_sink(stream);
  CompressingSink sink(*records, Codec::kZstd);
  ASSERT_TRUE(put_pages(sink, run_of(plain.size()), plain));
  ASSERT_TRUE(put_pages(sink, run_of(random.size()), random));
  ASSERT_TRUE(put_zero_pages(sink, run_of(kPageSize)));
  ASSERT_TRUE(sink.put(RecordType::kEnd, {}, {}));
  ASSERT_TRUE(sink.flush());
  EXPECT_LT(stream.bytes.size(), plain.size() / 2 + random.size());

  auto source = make_source(stream);
  for (const Bytes* expected : {&plain, &random}) {
    auto record = source->next();
    ASSERT_TRUE(record) << record.error().to_string();
    EXPECT_EQ(record->type, RecordType::kPages);
    EXPECT_TRUE(std::ranges::equal(record->body, *expected));
  }
  EXPECT_EQ(source->next()->type, RecordType::kZeroPages);
  EXPECT_EQ(source->next()->type, RecordType::kEnd);
}

TEST(CompressedStream, ADamagedRecordIsNamed) {
  BufferedBytes stream;
  auto records = make_sink(stream);
  ASSERT_TRUE(records->put(RecordType::kCompressed, Bytes(8), Bytes(100)));
  ASSERT_TRUE(records->flush());
  auto record = make_source(stream)->next();
  ASSERT_FALSE(record);
  EXPECT_EQ(record.error().to_string(),
            "image record 0 at byte 0: a compressed record that holds no record");
}

}  // namespace
}  // namespace martlet::image
