// Flags of a process: dumpable, no_new_privs, oom_score_adj, personality, transparent huge pages,
// what a core dump holds.
#include <sys/personality.h>
#include <sys/prctl.h>

#include "workload.h"

static int oom_score(void) {
  return atoi(read_small_file("/proc/self/oom_score_adj"));
}

static unsigned long dump_filter(void) {
  return strtoul(read_small_file("/proc/self/coredump_filter"), NULL, 16);
}

static void unusual(void* argument) {
  (void)argument;
  int fd = CHECK_SYS(open("/proc/self/oom_score_adj", O_WRONLY));
  write_all(fd, "543", 3);
  close(fd);
  fd = CHECK_SYS(open("/proc/self/coredump_filter", O_WRONLY));
  write_all(fd, "0x7f", 4);
  close(fd);
  CHECK_SYS(personality(ADDR_NO_RANDOMIZE | UNAME26));
  CHECK_SYS(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
  CHECK_SYS(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0));
  CHECK_SYS(prctl(PR_SET_DUMPABLE, 0));
  wait_for_go();
  CHECK_EQ(prctl(PR_GET_DUMPABLE), 0);
  CHECK_SYS(prctl(PR_SET_DUMPABLE, 1));
  CHECK_EQ(oom_score(), 543);
  CHECK_EQ(dump_filter(), 0x7f);
  CHECK_EQ(personality(0xffffffff), ADDR_NO_RANDOMIZE | UNAME26);
  CHECK_EQ(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 1);
  CHECK_EQ(prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0), 1);
}

int main(void) {
  pid_t child = spawn(unusual, NULL);
  await_waiting_child(child);
  int score = oom_score();
  unsigned long filter = dump_filter();

  workload_ready();

  CHECK_EQ(prctl(PR_GET_DUMPABLE), 1);
  CHECK_EQ(oom_score(), score);
  CHECK_EQ(dump_filter(), filter);
  CHECK_EQ(personality(0xffffffff), 0);
  CHECK_EQ(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 0);
  CHECK_EQ(prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0), 0);
  finish_child(child);
  return workload_ok();
}
