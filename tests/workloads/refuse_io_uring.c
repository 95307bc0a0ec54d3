// refused: io_uring
#include <linux/io_uring.h>

#include "workload.h"

int main(void) {
  struct io_uring_params parameters = {0};
  int ring = syscall(SYS_io_uring_setup, 4, &parameters);
  if (ring < 0) workload_skip("io_uring is not available");

  workload_ready();

  CHECK_EQ(CHECK_SYS(syscall(SYS_io_uring_enter, ring, 0, 0, 0, NULL, 0)), 0);
  return workload_ok();
}
