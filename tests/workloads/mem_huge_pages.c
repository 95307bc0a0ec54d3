// Memory backed by transparent huge pages, some of them split.
#include "workload.h"

enum { kHuge = 2 << 20, kSize = 8 * kHuge, kPage = 4096 };

int main(void) {
  char* area = map_memory(kSize + kHuge, PROT_READ | PROT_WRITE, MAP_PRIVATE);
  char* memory = (char*)(((uintptr_t)area + kHuge - 1) & ~(uintptr_t)(kHuge - 1));
  if (madvise(memory, kSize, MADV_HUGEPAGE) != 0) workload_skip("no transparent huge pages");
  fill_pattern(memory, kSize, 1);
  CHECK_SYS(madvise(memory + kHuge + 5 * kPage, kPage, MADV_DONTNEED));
  CHECK_SYS(mprotect(memory + 2 * kHuge + 7 * kPage, kPage, PROT_READ));

  workload_ready();

  check_pattern(memory, kHuge, 1);
  CHECK_EQ(memory[kHuge + 5 * kPage], 0);
  CHECK(strstr(smaps_field(memory, "VmFlags:"), " hg") != NULL);
  fill_pattern(memory + kHuge, kPage, 4);
  check_pattern(memory + kHuge, kPage, 4);
  char* expected = malloc(kSize);
  fill_pattern(expected, kSize, 1);
  CHECK_EQ(memcmp(expected + 2 * kHuge, memory + 2 * kHuge, kSize - 2 * kHuge), 0);
  return workload_ok();
}
