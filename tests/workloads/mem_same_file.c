// One file mapped several times: at several offsets and addresses, out of order, shared and
// private, with holes between, and through two opens with different rights.
#include "workload.h"

enum { kPage = 4096, kPages = 8 };

static char block[kPages * kPage];

static char* map_part(void* address, int page, int pages, int protection, int flags, int fd) {
  char* memory = mmap(address, (size_t)pages * kPage, protection, flags, fd, (off_t)page * kPage);
  CHECK(memory != MAP_FAILED);
  return memory;
}

int main(void) {
  fill_pattern(block, sizeof block, 7);
  int fd = make_file("file", "");
  write_all(fd, block, sizeof block);
  int reader = CHECK_SYS(open("file", O_RDONLY));
  enum { kBoth = PROT_READ | PROT_WRITE };
  char* area = map_memory(4 * kPage, PROT_NONE, MAP_PRIVATE);
  map_part(area, 6, 1, kBoth, MAP_SHARED | MAP_FIXED, fd);
  map_part(area + kPage, 2, 1, PROT_READ, MAP_SHARED | MAP_FIXED, reader);
  map_part(area + 3 * kPage, 2, 1, kBoth, MAP_PRIVATE | MAP_FIXED, reader);
  char* again = map_part(NULL, 2, 5, kBoth, MAP_SHARED, fd);
  area[3 * kPage] = 'P';

  workload_ready();

  CHECK_EQ(area[3 * kPage], 'P');
  CHECK_EQ(memcmp(area, block + 6 * kPage, kPage), 0);
  CHECK_EQ(memcmp(area + kPage, block + 2 * kPage, kPage), 0);
  area[1] = 'A';  // page 6
  CHECK_EQ(again[4 * kPage + 1], 'A');
  again[2] = 'B';  // page 2
  CHECK_EQ(area[kPage + 2], 'B');
  // The private page was copied as a whole when it was written to.
  CHECK_EQ(area[3 * kPage + 2], block[2 * kPage + 2]);
  CHECK_ERRNO(mprotect(area + kPage, kPage, kBoth), EACCES);
  char byte = 0;
  CHECK_EQ(pread(reader, &byte, 1, 6 * kPage + 1), 1);
  CHECK_EQ(byte, 'A');
  CHECK_EQ(lseek(fd, 0, SEEK_CUR), (off_t)sizeof block);
  return workload_ok();
}
