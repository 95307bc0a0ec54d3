// Pages of one process go over several streams into another one.
#include <gmock/gmock.h>
#include <sys/mman.h>

#include <latch>
#include <random>

#include "engine/memory/lane_reader.h"
#include "engine/memory/lane_writer.h"
#include "engine/test_util.h"
#include "image/group.pb.h"

namespace martlet::engine {
namespace {

using image::RecordType;
using ::testing::HasSubstr;

constexpr size_t kSize = 24u << 20;
constexpr size_t kTouched = 21u << 20;  // both a multiple of three pages
constexpr uint64_t kImageId = 0x4d41'5254'4c45'5421;
constexpr NsPid kFirst(10);
constexpr NsPid kSecond(11);

// A stream in a file of memory, to be written once and then read.
class StoredStream {
 public:
  StoredStream() : file_(::memfd_create("lane", MFD_CLOEXEC)) {
    sink_ = image::make_file_sink(file_.get());
  }
  image::Sink& sink() { return *sink_; }
  // From its beginning; `cut` bytes are missing at the end.
  image::Source& source(off_t cut = 0) {
    EXPECT_TRUE(sink_->flush());
    off_t end = ::lseek(file_.get(), 0, SEEK_END);
    EXPECT_EQ(::ftruncate(file_.get(), end - cut), 0);
    ::lseek(file_.get(), 0, SEEK_SET);
    source_ = image::make_file_source(file_.get());
    return *source_;
  }

 private:
  Fd file_;
  std::unique_ptr<image::Sink> sink_;
  std::unique_ptr<image::Source> source_;
};

// Takes a number of records and then fails; the other sinks go on only then.
class FullSink final : public image::Sink {
 public:
  FullSink(int room, std::latch& failed) : room_(room), failed_(failed) {}
  Result<void> put(RecordType, std::span<const std::byte>, std::span<const std::byte>) override {
    if (room_-- > 0) return {};
    failed_.count_down();
    return fail(Code::kNoSpace, "the lane is full");
  }
  Result<void> flush() override { return {}; }

 private:
  int room_;
  std::latch& failed_;
};

class PatientSink final : public image::Sink {
 public:
  explicit PatientSink(std::latch& start) : start_(start) {}
  Result<void> put(RecordType, std::span<const std::byte>, std::span<const std::byte>) override {
    start_.wait();
    return {};
  }
  Result<void> flush() override { return {}; }

 private:
  std::latch& start_;
};

// A mapping that two children have at the same address, one full of data and one empty.
class Lanes : public ::testing::Test {
 protected:
  void SetUp() override {
    memory_ = static_cast<std::byte*>(::mmap(nullptr, kSize, PROT_READ | PROT_WRITE,
                                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
    ASSERT_NE(memory_, MAP_FAILED);
    address_ = reinterpret_cast<uint64_t>(memory_);
    full_ = std::make_unique<ChildInNamespaces>(0, [this] {
      write_data(std::span(memory_, kSize));
      return true;
    });
    empty_ = std::make_unique<ChildInNamespaces>(0, [] { return true; });
    ASSERT_TRUE(full_->ready() && empty_->ready());
    mapping_.set_start(address_);
    mapping_.set_end(address_ + kSize);
    mapping_.set_protection(PROT_READ | PROT_WRITE);
  }
  void TearDown() override { ::munmap(memory_, kSize); }

  // Every third page holds zeros, and a part was never touched.
  static void write_data(std::span<std::byte> memory) {
    std::mt19937_64 random(7);
    for (size_t page = 0; page < kTouched; page += kPageSize)
      if (page / kPageSize % 3 != 2)
        for (size_t at = page; at < page + kPageSize; at += 512)
          memory[at] = static_cast<std::byte>(1 + random() % 255);
  }

  // Everything the full child has, as process kFirst.
  Result<uint64_t> put(LaneWriter& writer) {
    auto pagemap = TRY(sys::Pagemap::open(full_->pid()));
    auto memory = TRY(sys::ForcedMemory::open(full_->pid()));
    std::vector<PagePiece> pieces;
    add_pieces(
        mapping_,
        TRY(pagemap.anonymous_pages({mapping_.start(), mapping_.end()}, backing_of(mapping_))),
        pieces);
    return writer.put({full_->pid(), kFirst, memory, ReadMode::kKeepShared}, pieces);
  }

  FillTarget target() const { return {empty_->pid(), {}}; }

  std::vector<std::byte> content(const ChildInNamespaces& child) const {
    std::vector<std::byte> bytes(kSize);
    EXPECT_TRUE(sys::read_memory(child.pid(), TargetAddr(address_), bytes).has_value());
    return bytes;
  }

  std::byte* memory_ = nullptr;
  uint64_t address_ = 0;
  image::Mapping mapping_;
  std::unique_ptr<ChildInNamespaces> full_;
  std::unique_ptr<ChildInNamespaces> empty_;
};

void begin_lane(image::Sink& sink, uint64_t image_id = kImageId, uint32_t number = 1) {
  image::PageLane beginning;
  beginning.set_image_id(image_id);
  beginning.set_number(number);
  ASSERT_OK(image::put_message(sink, RecordType::kPageLane, beginning));
}

void put_page(image::Sink& sink, NsPid process, uint64_t address, int value) {
  std::vector<std::byte> page(kPageSize, static_cast<std::byte>(value));
  ASSERT_OK(
      image::put_pages(sink, {static_cast<uint32_t>(process.value), 0, address, kPageSize}, page));
}

void end_space(image::Sink& sink, NsPid process) {
  image::PageRun owner{static_cast<uint32_t>(process.value), 0, 0, 0};
  ASSERT_OK(sink.put(RecordType::kEndOfAddressSpace, std::as_bytes(std::span(&owner, 1)), {}));
}

void expect_bad(const Result<void>& outcome, const char* text) {
  ASSERT_FALSE(outcome.has_value());
  EXPECT_EQ(outcome.error().code(), Code::kBadImage);
  EXPECT_THAT(outcome.error().to_string(), HasSubstr(text));
}

TEST_F(Lanes, MemoryArrivesWhole) {
  StoredStream main, one, two;
  image::Sink* const beside[] = {&one.sink(), &two.sink()};
  LaneWriter writer(main.sink(), beside);
  ASSERT_OK(writer.begin(kImageId));
  auto put_bytes = put(writer);
  ASSERT_OK(put_bytes);
  ASSERT_OK(writer.end_space(kFirst));
  ASSERT_OK(writer.end());
  ASSERT_OK(main.sink().put(RecordType::kEnd, {}, {}));

  LaneReader reader({{"one", &one.source(), {}}, {"two", &two.source(), {}}}, kImageId);
  reader.open_space(kFirst, target());
  uint64_t main_bytes = 0;
  image::Source& source = main.source();
  for (;;) {
    auto record = source.next();
    ASSERT_OK(record);
    if (record->type == RecordType::kEndOfAddressSpace) break;
    auto run = image::parse_run(*record);
    ASSERT_OK(run);
    ASSERT_OK(fill(target(), *run, *record));
    main_bytes += record->body.size();
  }
  ASSERT_OK(reader.finish_space());
  auto lane_bytes = reader.finish();
  ASSERT_OK(lane_bytes);
  EXPECT_EQ(main_bytes + *lane_bytes, *put_bytes);
  EXPECT_EQ(*put_bytes, kTouched / 3 * 2);
  EXPECT_TRUE(content(*full_) == content(*empty_));
}

TEST_F(Lanes, FailureOfOneLaneFailsTheCapture) {
  std::latch failed(1);
  PatientSink main(failed);
  FullSink full(3, failed);
  image::Sink* const beside[] = {&full};
  LaneWriter writer(main, beside);
  auto outcome = put(writer);
  ASSERT_FALSE(outcome.has_value());
  EXPECT_EQ(outcome.error().code(), Code::kNoSpace);
  EXPECT_THAT(outcome.error().to_string(), HasSubstr("the lane is full"));
}

TEST_F(Lanes, PagesWaitForTheirProcess) {
  StoredStream lane;
  begin_lane(lane.sink());
  put_page(lane.sink(), kFirst, address_, 1);
  end_space(lane.sink(), kFirst);
  put_page(lane.sink(), kSecond, address_, 2);
  end_space(lane.sink(), kSecond);
  ASSERT_OK(lane.sink().put(RecordType::kEnd, {}, {}));

  LaneReader reader({{"lane", &lane.source(), {}}}, kImageId);
  reader.open_space(kFirst, target());
  ASSERT_OK(reader.finish_space());
  EXPECT_EQ(content(*empty_)[0], std::byte{1});
  reader.open_space(kSecond, target());
  ASSERT_OK(reader.finish_space());
  EXPECT_EQ(content(*empty_)[0], std::byte{2});
  auto bytes = reader.finish();
  ASSERT_OK(bytes);
  EXPECT_EQ(*bytes, 2 * kPageSize);
}

TEST_F(Lanes, TruncatedLaneIsNamed) {
  StoredStream lane;
  begin_lane(lane.sink());
  put_page(lane.sink(), kFirst, address_, 1);
  end_space(lane.sink(), kFirst);
  LaneReader reader({{"pages-1", &lane.source(40), {}}}, kImageId);
  reader.open_space(kFirst, target());
  expect_bad(reader.finish_space(), "pages-1: image record 2");
}

TEST_F(Lanes, OneBadLaneOfTwoFailsTheRestore) {
  StoredStream good, bad;
  begin_lane(good.sink());
  end_space(good.sink(), kFirst);
  begin_lane(bad.sink(), kImageId, 2);
  put_page(bad.sink(), kFirst, address_, 1);
  put_page(bad.sink(), kSecond, address_, 1);
  LaneReader reader({{"good", &good.source(), {}}, {"bad", &bad.source(), {}}}, kImageId);
  reader.open_space(kFirst, target());
  auto outcome = reader.finish_space();
  ASSERT_FALSE(outcome.has_value());
  EXPECT_EQ(outcome.error().code(), Code::kBadImage);
}

TEST_F(Lanes, ForeignLanesAreRefused) {
  StoredStream other, swapped, no_lane;
  begin_lane(other.sink(), kImageId + 1);
  begin_lane(swapped.sink(), kImageId, 2);
  end_space(no_lane.sink(), kFirst);
  for (StoredStream* stream : {&other, &swapped, &no_lane}) {
    LaneReader reader({{"pages-1", &stream->source(), {}}}, kImageId);
    reader.open_space(kFirst, target());
    expect_bad(reader.finish_space(), "pages-1: ");
  }
}

TEST_F(Lanes, EveryProcessEndsInEveryLane) {
  StoredStream early, wrong;
  begin_lane(early.sink());
  ASSERT_OK(early.sink().put(RecordType::kEnd, {}, {}));
  begin_lane(wrong.sink());
  end_space(wrong.sink(), kSecond);
  ASSERT_OK(wrong.sink().put(RecordType::kEnd, {}, {}));
  for (StoredStream* stream : {&early, &wrong}) {
    LaneReader reader({{"pages-1", &stream->source(), {}}}, kImageId);
    reader.open_space(kFirst, target());
    expect_bad(reader.finish_space(), "the end of process 10 is missing");
  }
}

TEST_F(Lanes, PagesOfNoProcessAreRefused) {
  StoredStream lane;
  begin_lane(lane.sink());
  put_page(lane.sink(), kFirst, address_, 1);
  LaneReader reader({{"pages-1", &lane.source(), {}}}, kImageId);
  auto outcome = reader.finish();
  ASSERT_FALSE(outcome.has_value());
  EXPECT_THAT(outcome.error().to_string(), HasSubstr("pages of no process"));
}

TEST_F(Lanes, ReservedPlacesAreNotWritten) {
  StoredStream lane;
  begin_lane(lane.sink());
  put_page(lane.sink(), kFirst, address_, 1);
  LaneReader reader({{"pages-1", &lane.source(), {}}}, kImageId);
  reader.open_space(kFirst, {empty_->pid(), {address_, address_ + kPageSize}});
  expect_bad(reader.finish_space(), "outside of the address space");
  EXPECT_EQ(content(*empty_)[0], std::byte{0});
}

// The lane waits for more from its peer, or for a process that never comes: either way the reader
// can be given up.
TEST_F(Lanes, GivingUpWakesEveryLane) {
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  Fd read_end(ends[0]), write_end(ends[1]);
  auto source = image::make_file_source(read_end.get());
  StoredStream lane;
  begin_lane(lane.sink(), kImageId, 2);
  put_page(lane.sink(), kFirst, address_, 1);
  LaneReader reader(
      {{"silent", source.get(), [&] { write_end.reset(); }}, {"waiting", &lane.source(), {}}},
      kImageId);
}

}  // namespace
}  // namespace martlet::engine
