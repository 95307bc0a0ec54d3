// PID 1 of a sandbox in tests: tells its clocks to descriptor 3, then waits.
#include <stdint.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

int main(void) {
  struct timespec monotonic, boottime;
  clock_gettime(CLOCK_MONOTONIC, &monotonic);
  clock_gettime(CLOCK_BOOTTIME, &boottime);
  const int64_t seconds[2] = {monotonic.tv_sec, boottime.tv_sec};
  if (send(3, seconds, sizeof seconds, 0) != sizeof seconds) return 1;
  for (;;) pause();
}
