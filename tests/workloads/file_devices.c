// Character devices: null, zero, full, random, urandom.
#include "workload.h"

int main(void) {
  int null = CHECK_SYS(open("/dev/null", O_RDWR | O_APPEND));
  int zero = CHECK_SYS(open("/dev/zero", O_RDONLY));
  int full = CHECK_SYS(open("/dev/full", O_WRONLY));
  int random = CHECK_SYS(open("/dev/urandom", O_RDONLY | O_CLOEXEC));
  char* mapped = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE, zero, 0);
  CHECK(mapped != MAP_FAILED);
  mapped[0] = 'z';
  char* shared = mmap(NULL, 8192, PROT_READ, MAP_SHARED, zero, 0);
  CHECK(shared != MAP_FAILED);

  workload_ready();

  char bytes[64];
  CHECK_EQ(write(null, "x", 1), 1);
  CHECK_EQ(read(null, bytes, 1), 0);
  memset(bytes, 1, sizeof bytes);
  read_all(zero, bytes, sizeof bytes);
  CHECK_EQ(bytes[0] | bytes[63], 0);
  CHECK_ERRNO(write(full, "x", 1), ENOSPC);
  read_all(random, bytes, sizeof bytes);
  int nonzero = 0;
  for (size_t i = 0; i < sizeof bytes; i++) nonzero += bytes[i] != 0;
  CHECK_RANGE(nonzero, 32, 64);
  CHECK_EQ(fcntl(null, F_GETFL) & O_APPEND, O_APPEND);
  CHECK_EQ(fcntl(random, F_GETFD), FD_CLOEXEC);
  CHECK_EQ(mapped[0], 'z');
  CHECK_EQ(mapped[1] | shared[0], 0);
  return workload_ok();
}
