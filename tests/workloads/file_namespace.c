// Descriptors of the namespaces that the program lives in: they lead to those that it lives in
// afterwards, also one that was only named (O_PATH) and one that a child has inherited.
#include "workload.h"

static const char* const kNames[] = {"cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"};
enum { kCount = sizeof kNames / sizeof *kNames };
static int descriptors[kCount];
static int named;

static ino_t inode_of_own(const char* name) {
  char path[64];
  snprintf(path, sizeof path, "/proc/self/ns/%s", name);
  struct stat status;
  CHECK_SYS(stat(path, &status));
  return status.st_ino;
}

static void check_same(int fd, const char* name) {
  struct stat status;
  CHECK_SYS(fstat(fd, &status));
  CHECK_EQ(status.st_ino, inode_of_own(name));
}

static void child_body(void* argument) {
  (void)argument;
  wait_for_go();
  for (size_t i = 0; i < kCount; i++) check_same(descriptors[i], kNames[i]);
}

int main(void) {
  for (size_t i = 0; i < kCount; i++) {
    char path[64];
    snprintf(path, sizeof path, "/proc/self/ns/%s", kNames[i]);
    descriptors[i] = CHECK_SYS(open(path, O_RDONLY | (i % 2 == 0 ? O_CLOEXEC : 0)));
  }
  named = CHECK_SYS(open("/proc/self/ns/uts", O_PATH));
  pid_t child = spawn(child_body, NULL);
  await_waiting_child(child);

  workload_ready();

  for (size_t i = 0; i < kCount; i++) {
    check_same(descriptors[i], kNames[i]);
    CHECK_EQ(fcntl(descriptors[i], F_GETFL) & O_ACCMODE, O_RDONLY);
    CHECK_EQ(fcntl(descriptors[i], F_GETFD), i % 2 == 0 ? FD_CLOEXEC : 0);
  }
  check_same(named, "uts");
  CHECK((fcntl(named, F_GETFL) & O_PATH) != 0);
  finish_child(child);
  return workload_ok();
}
