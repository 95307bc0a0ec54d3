// Mapped files whose name belongs to another file by now, as after an update of a library: the
// process keeps the old contents, and the new file is not touched.
#include "workload.h"

enum { kPage = 4096, kSize = 3 * kPage };

static char block[kSize];

static void write_file(const char* path, uint64_t seed) {
  fill_pattern(block, kSize, seed);
  int fd = CHECK_SYS(open(path, O_WRONLY | O_CREAT | O_EXCL, 0700));
  write_all(fd, block, kSize);
  close(fd);
}

static char* map_file(const char* path, int protection, int flags) {
  int fd = CHECK_SYS(open(path, (flags & MAP_SHARED) != 0 ? O_RDWR : O_RDONLY));
  char* memory = mmap(NULL, kSize, protection, flags, fd, 0);
  CHECK(memory != MAP_FAILED);
  close(fd);
  return memory;
}

int main(void) {
  write_file("library", 1);
  write_file("data", 2);
  char* code = map_file("library", PROT_READ | PROT_EXEC, MAP_PRIVATE);
  char* private = map_file("library", PROT_READ | PROT_WRITE, MAP_PRIVATE);
  private[kPage] = ~private[kPage];
  char* shared = map_file("data", PROT_READ | PROT_WRITE, MAP_SHARED);
  char* same = map_file("data", PROT_READ, MAP_SHARED);
  write_file("library.new", 3);
  write_file("data.new", 4);
  CHECK_SYS(rename("library.new", "library"));
  CHECK_SYS(rename("data.new", "data"));

  workload_ready();

  check_pattern(code, kSize, 1);
  private[kPage] = ~private[kPage];
  check_pattern(private, kSize, 1);
  check_pattern(shared, kSize, 2);
  shared[5] = 'S';
  CHECK_EQ(same[5], 'S');
  check_pattern(map_file("library", PROT_READ, MAP_PRIVATE), kSize, 3);
  check_pattern(map_file("data", PROT_READ, MAP_PRIVATE), kSize, 4);
  return workload_ok();
}
