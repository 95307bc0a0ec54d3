// Eight hundred descriptors of every number, and one with a high number.
#include <sys/resource.h>

#include "workload.h"

enum { kFiles = 800 };

int main(void) {
  struct rlimit limit;
  CHECK_SYS(getrlimit(RLIMIT_NOFILE, &limit));
  if (limit.rlim_cur < 1000) limit.rlim_cur = limit.rlim_max;
  CHECK_SYS(setrlimit(RLIMIT_NOFILE, &limit));
  int high = limit.rlim_cur > 5000 ? 5000 : (int)limit.rlim_cur - 1;
  int fds[kFiles];
  for (int i = 0; i < kFiles; i++) {
    char name[32];
    snprintf(name, sizeof name, "file-%d", i % 50);
    fds[i] = CHECK_SYS(open(name, O_RDWR | O_CREAT, 0600));
    CHECK_EQ(pwrite(fds[i], name, strlen(name), 0), strlen(name));
    CHECK_SYS(lseek(fds[i], i % 5, SEEK_SET));
  }
  CHECK_SYS(dup2(fds[3], high));
  for (int i = 0; i < kFiles; i += 7) close(fds[i]);

  workload_ready();

  for (int i = 0; i < kFiles; i++) {
    if (i % 7 == 0) {
      CHECK_ERRNO(fcntl(fds[i], F_GETFD), EBADF);
      continue;
    }
    char name[32];
    snprintf(name, sizeof name, "file-%d", i % 50);
    CHECK_EQ(lseek(fds[i], 0, SEEK_CUR), i % 5);
    expect_text(fds[i], name + i % 5);
  }
  CHECK_EQ(lseek(high, 0, SEEK_CUR), lseek(fds[3], 0, SEEK_CUR));
  CHECK_EQ(CHECK_SYS(dup(high)), fds[0]);  // the lowest free number
  return workload_ok();
}
