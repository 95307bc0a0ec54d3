// Contexts of asynchronous I/O.
#pragma once

#include <linux/aio_abi.h>

#include "workload.h"

// As it begins in memory, at the address that is the context's id.
struct aio_ring {
  unsigned index, places, head, tail, magic, compatible, incompatible, header_length;
  struct io_event events[];
};

static inline struct aio_ring* aio_ring_of(aio_context_t context) {
  return (struct aio_ring*)(uintptr_t)context;
}

// Skips the program where there is no AIO.
static inline aio_context_t aio_setup(unsigned requests) {
  aio_context_t context = 0;
  if (syscall(SYS_io_setup, requests, &context) != 0) workload_skip("no AIO context can be had");
  return context;
}

static inline struct iocb aio_request(int operation, int fd, void* buffer, size_t size,
                                      int64_t offset, uint64_t data) {
  return (struct iocb){.aio_lio_opcode = (uint16_t)operation,
                       .aio_fildes = (uint32_t)fd,
                       .aio_buf = (uintptr_t)buffer,
                       .aio_nbytes = size,
                       .aio_offset = offset,
                       .aio_data = data};
}

static inline long aio_submit(aio_context_t context, struct iocb* request) {
  return syscall(SYS_io_submit, context, 1, &request);
}

static inline struct io_event aio_await_one(aio_context_t context) {
  struct io_event event;
  CHECK_EQ(CHECK_SYS(syscall(SYS_io_getevents, context, 1, 1, &event, NULL)), 1);
  return event;
}

// Submits a request that reads nothing, whose event carries `data`.
static inline void aio_submit_empty(aio_context_t context, uint64_t data) {
  static int null = -1;
  if (null < 0) null = CHECK_SYS(open("/dev/null", O_RDONLY));
  struct iocb request = aio_request(IOCB_CMD_PREAD, null, NULL, 0, 0, data);
  CHECK_EQ(CHECK_SYS(aio_submit(context, &request)), 1);
}

static inline void aio_expect_empty(aio_context_t context, uint64_t data) {
  struct io_event event = aio_await_one(context);
  CHECK_EQ(event.data, data);
  CHECK_EQ(event.res, 0);
}
