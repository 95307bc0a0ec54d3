// File mappings that reach past the end of the file: a touch there is a SIGBUS, growing the file
// makes the pages appear, and bytes behind the end in the last page are zero.
#include "workload_faults.h"

enum { kPage = 4096 };

static char* map_file(int fd, int flags) {
  char* memory = mmap(NULL, 4 * kPage, PROT_READ | PROT_WRITE, flags, fd, 0);
  CHECK(memory != MAP_FAILED);
  return memory;
}

int main(void) {
  CHECK(signal(SIGBUS, on_fault) != SIG_ERR);
  int fd = make_file("short", "");
  CHECK_SYS(ftruncate(fd, kPage + 100));
  CHECK_EQ(pwrite(fd, "x", 1, kPage), 1);
  char* shared = map_file(fd, MAP_SHARED);
  char* private = map_file(fd, MAP_PRIVATE);
  private[0] = 'p';
  CHECK_EQ(shared[kPage], 'x');

  workload_ready();

  CHECK_EQ(private[0], 'p');
  CHECK_EQ(shared[0], 0);
  CHECK_EQ(private[kPage], 'x');
  CHECK_EQ(shared[kPage + 200], 0);
  CHECK_EQ(fault_at(shared + 2 * kPage), SIGBUS);
  CHECK_EQ(fault_at(private + 3 * kPage), SIGBUS);
  CHECK_SYS(ftruncate(fd, 4 * kPage));
  CHECK_EQ(pwrite(fd, "grown", 5, 2 * kPage), 5);
  CHECK_EQ(memcmp(shared + 2 * kPage, "grown", 5), 0);
  CHECK_EQ(memcmp(private + 2 * kPage, "grown", 5), 0);
  shared[3 * kPage] = 'y';
  char byte = 0;
  CHECK_EQ(pread(fd, &byte, 1, 3 * kPage), 1);
  CHECK_EQ(byte, 'y');
  return workload_ok();
}
