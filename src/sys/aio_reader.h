// The contexts of asynchronous I/O (io_setup) of a process, as the kernel keeps them.
//
// No call tells which requests are in flight. Each of them holds a reference to its context from
// before it is submitted until its event is in the ring and the eventfd that it names has been
// signalled. The kernel counts these references per processor. The counters are read by structures
// whose layout it tells (BTF): while no task of the process runs each of them only becomes smaller,
// so one reading that finds none, processor after processor, proves that there are none any more.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "sys/kernel_memory.h"

namespace martlet::sys {

struct AioContext {
  uint64_t id = 0;            // aio_context_t: where its ring was mapped
  uint32_t max_requests = 0;  // what io_setup was asked for
  uint32_t places = 0;        // of the ring
  uint32_t tail = 0;          // the place of the next event
  uint64_t in_flight = 0;
  bool polls = false;  // some of these wait for a file to become ready (IOCB_CMD_POLL)
};

// Any thread.
class AioReader {
 public:
  // Errors: kSystem where the kernel does not let this process read its memory, or where what is
  // read of a known context is not what it is.
  static Result<AioReader> load();
  // The one of this process, made by the first caller, who waits some 100 ms.
  static const Result<AioReader>& shared();

  // `living` as of sys::living_thread(). None of the process's tasks may run meanwhile.
  Result<std::vector<AioContext>> read(HostPid living) const;

 private:
  struct Layout;
  AioReader(KernelMemory memory, const Layout& layout, std::vector<uint64_t> per_cpu);
  Result<void> learn() const;
  Result<AioContext> read_context(KernelAddress at) const;
  Result<uint64_t> count_requests(uint64_t counter) const;

  KernelMemory memory_;
  std::shared_ptr<const Layout> layout_;
  std::vector<uint64_t> per_cpu_;
};

}  // namespace martlet::sys
