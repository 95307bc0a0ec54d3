// Direct, synchronous and no-access-time opens: the flags are there again, and the kernel heeds
// them.
#include "workload.h"

enum { kBlock = 4096 };

int main(void) {
  int plain = make_file("file", "");
  char* block = map_memory(2 * kBlock, PROT_READ | PROT_WRITE, MAP_PRIVATE);
  fill_pattern(block, kBlock, 3);
  write_all(plain, block, kBlock);
  int direct = open("file", O_RDWR | O_DIRECT);
  if (direct < 0) workload_skip("no O_DIRECT in this file system");
  int synchronous = CHECK_SYS(open("file", O_WRONLY | O_SYNC | O_NOATIME));
  int data_only = CHECK_SYS(open("file", O_WRONLY | O_DSYNC | O_APPEND));
  bool strict = pread(direct, block + kBlock + 1, 100, 1) < 0;

  workload_ready();

  CHECK_EQ(fcntl(direct, F_GETFL) & (O_DIRECT | O_ACCMODE), O_DIRECT | O_RDWR);
  CHECK_EQ(fcntl(synchronous, F_GETFL) & (O_SYNC | O_NOATIME), O_SYNC | O_NOATIME);
  CHECK_EQ(fcntl(data_only, F_GETFL) & (O_SYNC | O_APPEND), O_DSYNC | O_APPEND);
  CHECK_EQ(pread(direct, block + kBlock, kBlock, 0), kBlock);
  check_pattern(block + kBlock, kBlock, 3);
  CHECK_EQ(pread(direct, block + kBlock + 1, 100, 1) < 0, strict);
  fill_pattern(block, kBlock, 4);
  CHECK_EQ(pwrite(direct, block, kBlock, 0), kBlock);
  write_all(data_only, "tail", 4);
  CHECK_EQ(lseek(plain, 0, SEEK_END), kBlock + 4);
  return workload_ok();
}
