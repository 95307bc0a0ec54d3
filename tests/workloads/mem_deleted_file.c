// Mappings of a file that has no name any more, with and without a descriptor of it.
#include "workload.h"

enum { kPage = 4096, kSize = 6 * kPage };

static char* map_deleted(const char* path, int seed, int* fd) {
  static char block[kSize];
  *fd = CHECK_SYS(open(path, O_RDWR | O_CREAT | O_EXCL, 0600));
  fill_pattern(block, kSize, seed);
  write_all(*fd, block, kSize);
  char* memory = mmap(NULL, kSize, PROT_READ | PROT_WRITE, MAP_SHARED, *fd, 0);
  CHECK(memory != MAP_FAILED);
  CHECK_SYS(unlink(path));
  return memory;
}

int main(void) {
  int fd;
  int closed;
  char* open_file = map_deleted("first", 1, &fd);
  char* closed_file = map_deleted("second", 2, &closed);
  char* private = mmap(NULL, kSize, PROT_READ | PROT_WRITE, MAP_PRIVATE, closed, 0);
  CHECK(private != MAP_FAILED);
  close(closed);
  private[0] = 'p';

  workload_ready();

  check_pattern(open_file, kSize, 1);
  open_file[kPage] = 'm';
  char byte;
  CHECK_EQ(pread(fd, &byte, 1, kPage), 1);
  CHECK_EQ(byte, 'm');
  check_pattern(closed_file, kSize, 2);
  CHECK_EQ(private[0], 'p');
  CHECK_EQ(memcmp(private + kPage, closed_file + kPage, kPage), 0);
  closed_file[kPage] = 'n';
  CHECK_EQ(private[kPage], 'n');  // one file behind both
  CHECK_ERRNO(access("first", F_OK), ENOENT);
  CHECK_ERRNO(access("second", F_OK), ENOENT);
  return workload_ok();
}
