// The heap: it ends where it did, and grows and shrinks on from there.
#include "workload.h"

enum { kPage = 4096, kSize = 40 * kPage };

// All of it is the heap for the kernel. What grew may be a mapping of its own for as long as memory
// of the rest is still on its way.
static void check_heap(void) {
  unsigned long reached = 0;
  const char* line = read_small_file("/proc/self/maps");
  while (line != NULL) {
    const char* next = strchr(line, '\n');
    const char* heap = strstr(line, "[heap]");
    if (heap != NULL && (next == NULL || heap < next)) {
      unsigned long from;
      unsigned long to;
      CHECK(sscanf(line, "%lx-%lx", &from, &to) == 2);
      CHECK(reached == 0 || reached == from);
      reached = to;
    }
    line = next == NULL ? NULL : next + 1;
  }
  CHECK_EQ(reached, ((uintptr_t)sbrk(0) + kPage - 1) & ~(uintptr_t)(kPage - 1));
}

int main(void) {
  char* start = sbrk(kSize);
  CHECK(start != (void*)-1);
  fill_pattern(start, kSize, 1);
  char* end = sbrk(0);
  CHECK_SYS(brk(end + 123));  // not at the end of a page
  end[122] = 'e';

  workload_ready();

  CHECK(syscall(SYS_brk, 0) == (long)end + 123);
  check_pattern(start, kSize, 1);
  CHECK_EQ(end[122], 'e');
  CHECK(sbrk(kSize) == end + 123);
  CHECK_EQ(end[123], 0);
  fill_pattern(end, kSize, 2);
  check_pattern(end, kSize, 2);
  check_heap();
  CHECK_SYS(brk(start));
  CHECK_ERRNO(
      msync((void*)(((uintptr_t)end + kPage - 1) & ~(uintptr_t)(kPage - 1)), kPage, MS_ASYNC),
      ENOMEM);
  return workload_ok();
}
