// Nothing is left of the checkpoint in a task: no tracer, no pending or blocked signal of
// another's, no mapping or descriptor that was not there, and it can be traced again.
#include <dirent.h>
#include <sys/ptrace.h>

#include "workload.h"

static int count_names(const char* path) {
  DIR* directory = opendir(path);
  CHECK(directory != NULL);
  int count = 0;
  while (readdir(directory) != NULL) count++;
  closedir(directory);
  return count;
}

static int count_mappings(void) {
  FILE* maps = fopen("/proc/self/maps", "r");
  CHECK(maps != NULL);
  char line[512];
  int count = 0;
  while (fgets(line, sizeof line, maps) != NULL) count++;
  fclose(maps);
  return count;
}

static void hold(void* argument) {
  (void)argument;
  wait_for_go();
}

int main(void) {
  pid_t child = spawn(hold, NULL);
  await_waiting_child(child);
  count_mappings();  // what stdio allocates is there from here on
  int descriptors = count_names("/proc/self/fd");
  int mappings = count_mappings();
  char blocked[32], ignored[32];
  snprintf(blocked, sizeof blocked, "%s", status_field(getpid(), "SigBlk"));
  snprintf(ignored, sizeof ignored, "%s", status_field(getpid(), "SigIgn"));

  workload_ready();

  pid_t both[] = {getpid(), child};
  for (int i = 0; i < 2; i++) {
    CHECK_STR(status_field(both[i], "TracerPid"), "0");
    CHECK_STR(status_field(both[i], "SigPnd"), "0000000000000000");
    CHECK_STR(status_field(both[i], "Seccomp"), "0");
  }
  CHECK_STR(status_field(getpid(), "SigBlk"), blocked);
  CHECK_STR(status_field(getpid(), "SigIgn"), ignored);
  CHECK_EQ(count_names("/proc/self/fd"), descriptors);
  CHECK(count_mappings() <= mappings);
  if (ptrace(PTRACE_SEIZE, child, NULL, NULL) == 0) {
    CHECK_SYS(ptrace(PTRACE_INTERRUPT, child, NULL, NULL));
    int status = 0;
    CHECK_EQ(waitpid(child, &status, __WALL), child);
    CHECK(WIFSTOPPED(status));
    CHECK_SYS(ptrace(PTRACE_DETACH, child, NULL, NULL));
  }
  finish_child(child);
  return workload_ok();
}
