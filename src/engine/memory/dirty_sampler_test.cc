#include "engine/memory/dirty_sampler.h"

#include <sys/mman.h>

#include <algorithm>

#include "engine/memory/page_population.h"
#include "engine/test_util.h"

namespace martlet::engine {
namespace {

constexpr size_t kPages = 4096;

// Sleeps by letting the child write a number of pages: time passes as the test says.
class WritingClock final : public Clock {
 public:
  explicit WritingClock(std::function<void()> on_sleep) : on_sleep_(std::move(on_sleep)) {}
  Nanoseconds now() const override { return now_; }
  void sleep_for(Nanoseconds duration) override {
    now_ += duration;
    on_sleep_();
  }

 private:
  std::function<void()> on_sleep_;
  Nanoseconds now_{};
};

// Memory that the test and a child both write: pages of the child as seen from outside.
class SharedArea {
 public:
  SharedArea()
      : data_(static_cast<std::byte*>(::mmap(nullptr, kPages * kPageSize, PROT_READ | PROT_WRITE,
                                             MAP_SHARED | MAP_ANONYMOUS, -1, 0))) {
    for (size_t i = 0; i < kPages; ++i) data_[i * kPageSize] = std::byte{1};
  }
  ~SharedArea() { ::munmap(data_, kPages * kPageSize); }
  SharedArea(const SharedArea&) = delete;
  SharedArea& operator=(const SharedArea&) = delete;

  bool touch_all() const {
    for (size_t i = 0; i < kPages; ++i)
      if (*const_cast<volatile std::byte*>(data_ + i * kPageSize) != std::byte{1}) return false;
    return true;
  }
  void write_every(size_t step, std::byte value) {
    for (size_t i = 0; i < kPages; i += step) data_[i * kPageSize + 8] = value;
  }

 private:
  std::byte* data_;
};

double share(const models::DirtyObservation& seen) {
  return static_cast<double>(seen.changed) / static_cast<double>(seen.looked_at);
}

TEST(DirtySampler, SeesTheShareOfPagesThatIsWritten) {
  SharedArea area;
  ChildInNamespaces child(0, [&] { return area.touch_all(); });
  ASSERT_TRUE(child.ready());
  uint8_t value = 0;
  WritingClock clock([&] { area.write_every(4, std::byte{++value}); });
  const SampleOptions options{.pages = 1024, .looks = 3, .seed = 7};
  auto sample = sample_memory({child.pid()}, options, clock);
  ASSERT_OK(sample);
  EXPECT_GE(sample->pages, kPages);
  ASSERT_EQ(sample->observations.size(), 3u);
  const double of_area = static_cast<double>(kPages) / static_cast<double>(sample->pages);
  for (const models::DirtyObservation& seen : sample->observations)
    EXPECT_NEAR(share(seen), of_area / 4, 0.05);
  EXPECT_NEAR(sample->observations[0].seconds, 0.01, 1e-9);
  EXPECT_NEAR(sample->observations[2].seconds, 0.04, 1e-9);
}

TEST(DirtySampler, SeesNothingOfAnIdleProcess) {
  SharedArea area;
  ChildInNamespaces child(0, [&] { return area.touch_all(); });
  ASSERT_TRUE(child.ready());
  WritingClock clock([] {});
  auto sample = sample_memory({child.pid()}, {.looks = 3}, clock);
  ASSERT_OK(sample);
  // The child may still be on its way into its sleep.
  for (const models::DirtyObservation& seen : sample->observations) EXPECT_LT(share(seen), 0.01);
}

TEST(DirtySampler, EndsWithTheContainer) {
  WritingClock clock([] {});
  HostPid pid;
  {
    ChildInNamespaces child(0, [] { return true; });
    ASSERT_TRUE(child.ready());
    pid = child.pid();
  }
  EXPECT_FALSE(sample_memory({pid}, {.looks = 1}, clock));
}

uint64_t ranges_of_area(const PagePopulation& population) {
  return static_cast<uint64_t>(
      std::ranges::count_if(population.ranges, [](const PopulatedRange& populated) {
        return populated.range.size() == kPages * kPageSize;
      }));
}

TEST(PagePopulation, CountsSharedMemoryOnce) {
  SharedArea area;
  ChildInNamespaces child(0, [&] { return area.touch_all(); });
  ASSERT_TRUE(child.ready());
  auto population = find_populated_pages({HostPid(::getpid()), child.pid()});
  ASSERT_OK(population);
  EXPECT_EQ(ranges_of_area(*population), 1u);
}

// What a fork left shared is the parent's; what the child wrote since is its own.
TEST(PagePopulation, CountsInheritedPagesForTheParent) {
  std::vector<std::byte> memory(kPages * kPageSize, std::byte{1});
  ChildInNamespaces child(0, [&] {
    for (size_t i = 0; i < kPages / 2; ++i) memory[i * kPageSize] = std::byte{2};
    return true;
  });
  ASSERT_TRUE(child.ready());
  auto alone = find_populated_pages({HostPid(::getpid())});
  auto both = find_populated_pages({HostPid(::getpid()), child.pid()});
  ASSERT_OK(alone);
  ASSERT_OK(both);
  EXPECT_GE(both->pages - alone->pages, kPages / 2);
  EXPECT_LT(both->pages - alone->pages, kPages / 2 + 1000);
}

}  // namespace
}  // namespace martlet::engine
