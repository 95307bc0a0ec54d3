#include "engine/memory/split_mappings.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstring>

#include "engine/tasks/injection.h"
#include "engine/test_util.h"
#include "sys/target_memory.h"

namespace martlet::engine {
namespace {

constexpr size_t kPagesOfPart = 4;
constexpr size_t kPartSize = kPagesOfPart * kPageSize;
constexpr int kParts = 3;

char* map(void* at, size_t size) {
  void* mapped = ::mmap(at, size, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | (at == nullptr ? 0 : MAP_FIXED), -1, 0);
  return mapped == MAP_FAILED ? nullptr : static_cast<char*>(mapped);
}

// Parts that had pages before they became neighbours stay apart. The second page of each is not
// written.
bool map_in_parts(char* at) {
  for (int part = 0; part < kParts; ++part) {
    char* elsewhere = map(nullptr, kPartSize);
    if (elsewhere == nullptr) return false;
    for (size_t page = 0; page < kPagesOfPart; ++page)
      if (page != 1) elsewhere[page * kPageSize] = static_cast<char>('a' + part);
    void* place = at + static_cast<size_t>(part) * kPartSize;
    if (::mremap(elsewhere, kPartSize, kPartSize, MREMAP_MAYMOVE | MREMAP_FIXED, place) != place)
      return false;
  }
  return true;
}

size_t count_mappings(HostPid pid, sys::Range range) {
  return static_cast<size_t>(std::ranges::count_if(*sys::read_maps(pid), [&](const sys::Vma& vma) {
    return vma.start < range.end && range.start < vma.end;
  }));
}

TEST(SplitMappings, BecomeOneWithTheirPages) {
  char* place = map(nullptr, kParts * kPartSize);
  ASSERT_NE(place, nullptr);
  const sys::Range range{reinterpret_cast<uint64_t>(place),
                         reinterpret_cast<uint64_t>(place) + kParts * kPartSize};
  ChildInNamespaces child(0, [&] { return map_in_parts(place); });
  ASSERT_TRUE(child.ready());
  auto frozen = freeze_processes(child.pid(), false, "");
  ASSERT_TRUE(frozen) << frozen.error().to_string();
  FrozenProcess& process = frozen->front();
  process.vmas = *sys::read_smaps(process.pid);
  ASSERT_EQ(count_mappings(process.pid, range), kParts);

  image::AddressSpace space;
  image::Mapping& mapping = *space.add_mappings();
  mapping.set_start(range.start);
  mapping.set_end(range.end);
  mapping.set_kind(image::MAPPING_ANONYMOUS);
  auto injection = Injection::begin(process);
  ASSERT_TRUE(injection) << injection.error().to_string();
  sys::Tracee& tracee = process.leader().tracee;
  {
    Task task(std::move(tracee), process.numbers(), process.leader().numbers(), injection->arena());
    auto united = unite_split_mappings(task, space);
    tracee = std::move(task.tracee());
    ASSERT_TRUE(united) << united.error().to_string();
  }
  ASSERT_TRUE(injection->end());

  EXPECT_EQ(count_mappings(process.pid, range), 1u);
  auto memory = sys::ForcedMemory::open(process.pid);
  ASSERT_TRUE(memory);
  for (size_t page = 0; page < kParts * kPagesOfPart; ++page) {
    std::byte first{};
    ASSERT_TRUE(memory->read(TargetAddr(range.start + page * kPageSize), std::span(&first, 1)));
    char written = static_cast<char>('a' + page / kPagesOfPart);
    EXPECT_EQ(first, std::byte(page % kPagesOfPart == 1 ? 0 : written)) << page;
  }
}

}  // namespace
}  // namespace martlet::engine
