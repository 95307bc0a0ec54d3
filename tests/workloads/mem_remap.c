// The address space can still be changed as ever: mappings grow, move, split, merge and go; brk
// goes on where it was.
#include "workload.h"

enum { kPage = 4096, kSize = 16 * kPage };

int main(void) {
  char* growing = map_memory(kSize, PROT_READ | PROT_WRITE, MAP_PRIVATE);
  char* shared = map_memory(kSize, PROT_READ | PROT_WRITE, MAP_SHARED);
  fill_pattern(growing, kSize, 1);
  fill_pattern(shared, kSize, 2);
  char* end = sbrk(0);
  CHECK(sbrk(10 * kPage) == end);
  fill_pattern(end, 10 * kPage, 3);

  workload_ready();

  growing = mremap(growing, kSize, 64 * kSize, MREMAP_MAYMOVE);
  CHECK(growing != MAP_FAILED);
  check_pattern(growing, kSize, 1);
  CHECK_EQ(growing[63 * kSize], 0);
  shared = mremap(shared, kSize, kSize / 2, 0);
  CHECK(shared != MAP_FAILED);
  check_pattern(shared, kSize / 2, 2);
  CHECK(sbrk(0) == end + 10 * kPage);
  CHECK(sbrk(20 * kPage) == end + 10 * kPage);
  check_pattern(end, 10 * kPage, 3);
  end[29 * kPage] = 1;
  CHECK_EQ(end[28 * kPage], 0);
  CHECK(sbrk(-25 * kPage) == end + 30 * kPage);
  CHECK(sbrk(0) == end + 5 * kPage);
  check_pattern(end, 5 * kPage, 3);
  CHECK_SYS(munmap(growing + kSize, kSize));
  CHECK_ERRNO(msync(growing + kSize, kPage, MS_ASYNC), ENOMEM);
  check_pattern(growing, kSize, 1);
  return workload_ok();
}
