// Contexts of asynchronous I/O that live for one request each, made again and again while the
// program is captured: each request writes a number that the file must hold afterwards.
#include <linux/aio_abi.h>
#include <pthread.h>

#include "workload.h"

static int file;
static volatile int stop;
static uint64_t rounds;

static void write_once(uint64_t number) {
  aio_context_t context = 0;
  CHECK_SYS(syscall(SYS_io_setup, 1, &context));
  struct iocb block = {.aio_lio_opcode = IOCB_CMD_PWRITE,
                       .aio_fildes = (uint32_t)file,
                       .aio_buf = (uintptr_t)&number,
                       .aio_nbytes = sizeof number};
  struct iocb* blocks[] = {&block};
  CHECK_EQ(CHECK_SYS(syscall(SYS_io_submit, context, 1, blocks)), 1);
  struct io_event event;
  CHECK_EQ(CHECK_SYS(syscall(SYS_io_getevents, context, 1, 1, &event, NULL)), 1);
  CHECK_SYS(syscall(SYS_io_destroy, context));
}

static void* write_always(void* unused) {
  (void)unused;
  const struct timespec between = {.tv_nsec = 1000000};
  do {
    write_once(++rounds);
    uint64_t read_back = 0;
    CHECK_EQ(CHECK_SYS(pread(file, &read_back, sizeof read_back, 0)), sizeof read_back);
    CHECK_EQ(read_back, rounds);
    nanosleep(&between, NULL);
  } while (!stop);
  return NULL;
}

int main(void) {
  aio_context_t context = 0;
  if (syscall(SYS_io_setup, 1, &context) != 0) workload_skip("the kernel has no AIO");
  CHECK_SYS(syscall(SYS_io_destroy, context));
  file = make_file("data", "content");
  pthread_t writer;
  CHECK_EQ(pthread_create(&writer, NULL, write_always, NULL), 0);

  workload_ready();

  stop = 1;
  CHECK_EQ(pthread_join(writer, NULL), 0);
  CHECK(rounds > 0);
  return workload_ok();
}
