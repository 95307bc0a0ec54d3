// A request of asynchronous I/O that waits until a pipe can be read: nobody but who writes into it
// ends it.
// refused: IOCB_CMD_POLL
#include <poll.h>

#include "workload_aio.h"

int main(void) {
  aio_context_t context = aio_setup(4);
  int ends[2];
  CHECK_SYS(pipe(ends));
  struct iocb request = aio_request(IOCB_CMD_POLL, ends[0], (void*)POLLIN, 0, 0, 3);
  if (aio_submit(context, &request) != 1) workload_skip("the kernel has no IOCB_CMD_POLL");

  workload_ready();

  write_all(ends[1], "x", 1);
  struct io_event event = aio_await_one(context);
  CHECK_EQ(event.data, 3);
  CHECK_EQ(event.res & POLLIN, POLLIN);
  return workload_ok();
}
