// Close-on-exec flags, seen by a program that is executed after the restore.
#include "workload.h"

int main(int argc, char** argv) {
  if (argc == 3) {  // as the executed program
    CHECK_ERRNO(fcntl(atoi(argv[1]), F_GETFD), EBADF);
    expect_text(atoi(argv[2]), "kept");
    return 0;
  }
  int closed = CHECK_SYS(open("/dev/null", O_RDWR | O_CLOEXEC));
  int kept = make_file("data", "kept");

  workload_ready();

  pid_t child = CHECK_SYS(fork());
  if (child == 0) {
    char closed_text[16];
    char kept_text[16];
    snprintf(closed_text, sizeof closed_text, "%d", closed);
    snprintf(kept_text, sizeof kept_text, "%d", kept);
    execl("/proc/self/exe", argv[0], closed_text, kept_text, NULL);
    CHECK(!"exec");
  }
  reap_child(child);
  CHECK_EQ(fcntl(closed, F_GETFD), FD_CLOEXEC);
  CHECK_EQ(fcntl(kept, F_GETFD), 0);
  return workload_ok();
}
