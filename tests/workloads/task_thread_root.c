// A thread with directories of its own whose process has another root directory.
#include "workload_sharing.h"

static pthread_barrier_t apart;
static pthread_barrier_t go;

static bool sees(const char* path) {
  return access(path, F_OK) == 0;
}

static void* stays_outside(void* argument) {
  CHECK_SYS(unshare(CLONE_FS));
  wait_at(&apart);
  wait_at(&go);
  CHECK(sees("jail/inside"));
  CHECK(sees("/proc/self/status"));
  CHECK(!sees("/inside"));
  return argument;
}

static void goes_inside(void* argument) {
  (void)argument;
  CHECK_EQ(pthread_barrier_init(&apart, NULL, 2), 0);
  CHECK_EQ(pthread_barrier_init(&go, NULL, 2), 0);
  struct thread thread;
  start_thread(&thread, stays_outside, NULL);
  wait_at(&apart);
  CHECK_SYS(chroot("jail"));
  CHECK_SYS(chdir("/"));
  wait_for_go();
  CHECK(sees("/inside"));
  CHECK(!sees("/proc/self/status"));
  wait_at(&go);
  join_thread(&thread);
}

int main(void) {
  CHECK_SYS(mkdir("jail", 0700));
  CHECK_SYS(close(make_file("jail/inside", "text")));
  pid_t child = spawn(goes_inside, NULL);
  await_waiting_child(child);

  workload_ready();

  finish_child(child);
  return workload_ok();
}
