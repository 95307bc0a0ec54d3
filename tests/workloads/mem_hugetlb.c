// Memory of huge pages from the host's pool: private, shared between processes, behind a memfd, and
// partly untouched.
// huge pages: 16
#include <linux/memfd.h>

#include "workload.h"

enum { kHuge = 2 << 20, kBits = 21 };

static char* shared;

static char* map_huge(size_t pages, int flags) {
  void* memory = mmap(NULL, pages * kHuge, PROT_READ | PROT_WRITE,
                      flags | MAP_ANONYMOUS | MAP_HUGETLB | (kBits << MAP_HUGE_SHIFT), -1, 0);
  if (memory == MAP_FAILED) workload_skip("no huge pages in the pool of this host");
  return memory;
}

static void share(void* argument) {
  wait_for_go();
  check_pattern(shared, 4096, 2);
  strcpy(shared + kHuge, argument);
}

static void expect_huge(const void* memory) {
  CHECK(strstr(smaps_field(memory, "VmFlags:"), " ht") != NULL);
  CHECK_EQ(strtol(smaps_field(memory, "KernelPageSize:"), NULL, 10), kHuge / 1024);
}

int main(void) {
  char* private = map_huge(2, MAP_PRIVATE);
  fill_pattern(private, 4096, 1);
  fill_pattern(private + kHuge - 4096, 4096, 3);
  shared = map_huge(2, MAP_SHARED);
  fill_pattern(shared, 4096, 2);
  int file = CHECK_SYS(memfd_create("huge", MFD_HUGETLB | (kBits << MAP_HUGE_SHIFT)));
  CHECK_SYS(ftruncate(file, kHuge));
  char* mapped = mmap(NULL, kHuge, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  CHECK(mapped != MAP_FAILED);
  fill_pattern(mapped + 8192, 8192, 4);
  pid_t child = spawn(share, "from the child");
  await_waiting_child(child);

  workload_ready();

  expect_huge(private);
  expect_huge(shared);
  expect_huge(mapped);
  check_pattern(private, 4096, 1);
  check_pattern(private + kHuge - 4096, 4096, 3);
  check_pattern(mapped + 8192, 8192, 4);
  CHECK_EQ(private[kHuge + 5], 0);
  private[kHuge + 5] = 1;
  finish_child(child);
  CHECK_STR(shared + kHuge, "from the child");
  struct stat status;
  CHECK_SYS(fstat(file, &status));
  CHECK_EQ(status.st_size, kHuge);
  CHECK_EQ(status.st_blksize, kHuge);
  CHECK_SYS(munmap(private, kHuge));
  CHECK_EQ(private[kHuge + 5], 1);
  return workload_ok();
}
