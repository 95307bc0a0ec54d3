// Memory that even the kernel cannot read (memfd_secret).
// refused: memfd_secret
#include "workload.h"

enum { kMemfdSecret = 447, kPage = 4096 };

int main(void) {
  int file = (int)syscall(kMemfdSecret, 0);
  if (file < 0) workload_skip("this kernel has no memfd_secret");
  CHECK_SYS(ftruncate(file, kPage));
  char* memory = mmap(NULL, kPage, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  CHECK(memory != MAP_FAILED);
  strcpy(memory, "secret");

  workload_ready();

  CHECK_STR(memory, "secret");
  return workload_ok();
}
