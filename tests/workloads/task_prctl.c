// Flags of a process: dumpable, no_new_privs, oom_score_adj, personality, transparent huge pages.
#include <sys/personality.h>
#include <sys/prctl.h>

#include "workload.h"

static int oom_score(void) {
  return atoi(read_small_file("/proc/self/oom_score_adj"));
}

static void unusual(void* argument) {
  (void)argument;
  int fd = CHECK_SYS(open("/proc/self/oom_score_adj", O_WRONLY));
  write_all(fd, "543", 3);
  close(fd);
  CHECK_SYS(personality(ADDR_NO_RANDOMIZE | UNAME26));
  CHECK_SYS(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
  CHECK_SYS(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0));
  CHECK_SYS(prctl(PR_SET_DUMPABLE, 0));
  wait_for_go();
  CHECK_EQ(prctl(PR_GET_DUMPABLE), 0);
  CHECK_SYS(prctl(PR_SET_DUMPABLE, 1));
  CHECK_EQ(oom_score(), 543);
  CHECK_EQ(personality(0xffffffff), ADDR_NO_RANDOMIZE | UNAME26);
  CHECK_EQ(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 1);
  CHECK_EQ(prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0), 1);
}

int main(void) {
  pid_t child = spawn(unusual, NULL);
  await_waiting_child(child);
  int score = oom_score();

  workload_ready();

  CHECK_EQ(prctl(PR_GET_DUMPABLE), 1);
  CHECK_EQ(oom_score(), score);
  CHECK_EQ(personality(0xffffffff), 0);
  CHECK_EQ(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 0);
  CHECK_EQ(prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0), 0);
  finish_child(child);
  return workload_ok();
}
