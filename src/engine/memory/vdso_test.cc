#include "engine/memory/vdso.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "sys/procfs.h"

namespace martlet::engine {
namespace {

uint64_t local_vdso_address() {
  auto vmas = sys::read_smaps(HostPid(getpid()));
  for (const auto& vma : *vmas)
    if (vma.path == "[vdso]") return vma.start;
  return 0;
}

TEST(Vdso, ListsTheClockFunction) {
  auto image = local_vdso();
  ASSERT_TRUE(image) << image.error().to_string();
  auto functions = vdso_functions(*image);
  ASSERT_TRUE(functions) << functions.error().to_string();
  EXPECT_TRUE(std::ranges::any_of(*functions,
                                  [](const auto& f) { return f.name == "__vdso_clock_gettime"; }));
}

TEST(Vdso, ARedirectedCopyTellsTheTime) {
  auto image = local_vdso();
  ASSERT_TRUE(image);
  auto redirected = redirect_vdso(*image, *image, local_vdso_address());
  ASSERT_TRUE(redirected) << redirected.error().to_string();
  void* place = mmap(nullptr, redirected->size(), PROT_READ | PROT_WRITE | PROT_EXEC,
                     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(place, MAP_FAILED);
  std::memcpy(place, redirected->data(), redirected->size());
  auto functions = *vdso_functions(*redirected);
  auto clock = std::ranges::find(functions, "__vdso_clock_gettime", &VdsoFunction::name);
  auto* call =
      reinterpret_cast<int (*)(clockid_t, timespec*)>(static_cast<char*>(place) + clock->offset);
  timespec through_copy{};
  ASSERT_EQ(call(CLOCK_MONOTONIC, &through_copy), 0);
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  EXPECT_LE(now.tv_sec - through_copy.tv_sec, 10);
  EXPECT_GE(now.tv_sec, through_copy.tv_sec);
  munmap(place, redirected->size());
}

TEST(Vdso, ADamagedImageIsRefused) {
  auto image = *local_vdso();
  image.resize(100);
  EXPECT_FALSE(vdso_functions(image));
}

}  // namespace
}  // namespace martlet::engine
