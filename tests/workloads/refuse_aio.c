// refused: aio
#include <linux/aio_abi.h>

#include "workload.h"

int main(void) {
  aio_context_t context = 0;
  if (syscall(SYS_io_setup, 4, &context) != 0) workload_skip("the kernel has no AIO");
  int fd = make_file("data", "content");

  workload_ready();

  char buffer[8] = {0};
  struct iocb block = {.aio_lio_opcode = IOCB_CMD_PREAD,
                       .aio_fildes = fd,
                       .aio_buf = (uintptr_t)buffer,
                       .aio_nbytes = 7};
  struct iocb* blocks[] = {&block};
  CHECK_EQ(CHECK_SYS(syscall(SYS_io_submit, context, 1, blocks)), 1);
  struct io_event event;
  CHECK_EQ(CHECK_SYS(syscall(SYS_io_getevents, context, 1, 1, &event, NULL)), 1);
  CHECK_STR(buffer, "content");
  return workload_ok();
}
