// Memory files: mapped shared and private, sealed, sparse, and known only by a descriptor.
#include "workload.h"

enum { kPage = 4096 };

static int make_memfd(const char* name, size_t size, int seed) {
  int fd = CHECK_SYS(memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING));
  char* block = malloc(size);
  fill_pattern(block, size, seed);
  write_all(fd, block, size);
  free(block);
  return fd;
}

static char* map(int fd, size_t size, int flags) {
  char* memory = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, fd, 0);
  CHECK(memory != MAP_FAILED);
  return memory;
}

static void expect_content(int fd, size_t size, int seed) {
  char* block = malloc(size);
  CHECK_EQ(CHECK_SYS(pread(fd, block, size, 0)), size);
  check_pattern(block, size, seed);
  free(block);
}

int main(void) {
  int mapped = make_memfd("mapped", 16 * kPage, 1);
  char* shared = map(mapped, 16 * kPage, MAP_SHARED);
  char* again = map(mapped, 16 * kPage, MAP_SHARED);
  char* private = map(mapped, 16 * kPage, MAP_PRIVATE);
  private[kPage] = 'p';
  int plain = make_memfd("only-a-descriptor", 5 * kPage + 17, 2);
  CHECK_SYS(lseek(plain, 123, SEEK_SET));
  int sealed = make_memfd("sealed", kPage, 3);
  int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL;
  CHECK_SYS(fcntl(sealed, F_ADD_SEALS, seals));
  int sparse = CHECK_SYS(memfd_create("sparse", 0));
  CHECK_SYS(ftruncate(sparse, 10LL << 30));
  CHECK_EQ(pwrite(sparse, "far", 3, 9LL << 30), 3);
  int closed = make_memfd("closed", 4 * kPage, 4);
  char* orphan = map(closed, 4 * kPage, MAP_SHARED);
  close(closed);

  workload_ready();

  check_pattern(shared, 16 * kPage, 1);
  shared[2 * kPage] = 's';
  CHECK_EQ(again[2 * kPage], 's');
  CHECK_EQ(private[kPage], 'p');
  CHECK_EQ(private[2 * kPage], 's');
  char byte;
  CHECK_EQ(pread(mapped, &byte, 1, 2 * kPage), 1);
  CHECK_EQ(byte, 's');
  CHECK_EQ(lseek(plain, 0, SEEK_CUR), 123);
  expect_content(plain, 5 * kPage + 17, 2);
  CHECK(fcntl(plain, F_GETFD) & FD_CLOEXEC);
  CHECK_EQ(fcntl(sparse, F_GETFD) & FD_CLOEXEC, 0);
  expect_content(sealed, kPage, 3);
  CHECK_EQ(fcntl(sealed, F_GET_SEALS), seals);
  CHECK_ERRNO(write(sealed, "x", 1), EPERM);
  CHECK_EQ(fcntl(plain, F_GET_SEALS), 0);
  char text[4] = {0};
  CHECK_EQ(pread(sparse, text, 3, 9LL << 30), 3);
  CHECK_STR(text, "far");
  struct stat status;
  CHECK_SYS(fstat(sparse, &status));
  CHECK_EQ(status.st_size, 10LL << 30);
  CHECK_RANGE(status.st_blocks, 1, 4096);
  check_pattern(orphan, 4 * kPage, 4);
  char link[64] = {0};
  char path[64];
  snprintf(path, sizeof path, "/proc/self/fd/%d", mapped);
  CHECK_SYS(readlink(path, link, sizeof link - 1));
  CHECK_STR(link, "/memfd:mapped (deleted)");
  return workload_ok();
}
