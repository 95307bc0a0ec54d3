// refused: perf_event
#include <linux/perf_event.h>

#include "workload.h"

int main(void) {
  struct perf_event_attr attributes = {
      .type = PERF_TYPE_SOFTWARE, .size = sizeof attributes, .config = PERF_COUNT_SW_TASK_CLOCK};
  int fd = syscall(SYS_perf_event_open, &attributes, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);
  if (fd < 0) workload_skip("perf events are not available");

  workload_ready();

  uint64_t count;
  read_all(fd, &count, sizeof count);
  CHECK(count > 0);
  return workload_ok();
}
