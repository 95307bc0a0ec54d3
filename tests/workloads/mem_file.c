// Mappings of files: shared (writes reach the file), private with changed and unchanged pages, and
// read-only, past the end of the file too.
#include "workload.h"

enum { kPage = 4096 };

static char* map_file(int fd, size_t size, int protection, int flags, off_t offset) {
  char* memory = mmap(NULL, size, protection, flags, fd, offset);
  CHECK(memory != MAP_FAILED);
  return memory;
}

int main(void) {
  int fd = CHECK_SYS(open("data", O_RDWR | O_CREAT | O_EXCL, 0600));
  static char block[8 * kPage];
  fill_pattern(block, sizeof block, 5);
  write_all(fd, block, sizeof block);
  char* shared = map_file(fd, 8 * kPage, PROT_READ | PROT_WRITE, MAP_SHARED, 0);
  char* private = map_file(fd, 8 * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE, 0);
  char* part = map_file(fd, 2 * kPage, PROT_READ, MAP_SHARED, 3 * kPage);
  char* beyond = map_file(fd, 2 * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE, 7 * kPage);
  close(fd);
  fd = CHECK_SYS(open("data", O_RDONLY));
  char* constant = map_file(fd, 8 * kPage, PROT_READ, MAP_SHARED, 0);
  CHECK_EQ(constant[0], block[0]);
  private[2 * kPage] = 'p';
  beyond[1] = 'b';
  shared[5 * kPage] = 's';

  workload_ready();

  CHECK_EQ(private[2 * kPage], 'p');
  CHECK_EQ(beyond[1], 'b');
  CHECK_EQ(beyond[2], block[7 * kPage + 2]);
  CHECK_EQ(shared[2 * kPage], block[2 * kPage]);
  CHECK_EQ(memcmp(part, block + 3 * kPage, 2 * kPage), 0);
  CHECK_EQ(constant[5 * kPage], 's');
  shared[4 * kPage] = 'S';
  CHECK_EQ(part[kPage], 'S');
  CHECK_EQ(constant[4 * kPage], 'S');
  char byte;
  CHECK_EQ(pread(fd, &byte, 1, 4 * kPage), 1);
  CHECK_EQ(byte, 'S');
  private[6 * kPage] = 'q';
  CHECK_EQ(pread(fd, &byte, 1, 6 * kPage), 1);
  CHECK_EQ(byte, block[6 * kPage]);
  // A mapping of a file opened for reading cannot become writable.
  CHECK_ERRNO(mprotect(constant, kPage, PROT_READ | PROT_WRITE), EACCES);
  CHECK_SYS(mprotect(part, kPage, PROT_READ | PROT_WRITE));
  return workload_ok();
}
