// Files of /proc and /sys that are held open, the process's own and another's: they go on to say
// what is so now, from the offset where they were.
#include "workload.h"

static void hold(void* argument) {
  (void)argument;
  wait_for_go();
}

static bool says(int fd, const char* text) {
  static char buffer[65536];
  CHECK_EQ(lseek(fd, 0, SEEK_SET), 0);
  ssize_t got = read(fd, buffer, sizeof buffer - 1);
  CHECK(got >= 0);
  buffer[got] = 0;
  return strstr(buffer, text) != NULL;
}

int main(void) {
  pid_t child = spawn(hold, NULL);
  await_waiting_child(child);
  char path[64], name[64];
  snprintf(path, sizeof path, "/proc/%d/status", (int)child);
  int of_child = CHECK_SYS(open(path, O_RDONLY));
  int own = CHECK_SYS(open("/proc/self/status", O_RDONLY));
  int maps = CHECK_SYS(open("/proc/self/maps", O_RDONLY));
  int uptime = CHECK_SYS(open("/proc/uptime", O_RDONLY));
  int directory = CHECK_SYS(open("/proc/self/fd", O_RDONLY | O_DIRECTORY));
  int online = CHECK_SYS(open("/sys/devices/system/cpu/online", O_RDONLY));
  int setting = CHECK_SYS(open("/proc/sys/net/ipv4/ip_default_ttl", O_RDONLY));
  CHECK_SYS(lseek(own, 6, SEEK_SET));

  workload_ready();

  CHECK_EQ(lseek(own, 0, SEEK_CUR), 6);
  CHECK(says(setting, "64\n"));
  snprintf(name, sizeof name, "\nPid:\t%d\n", (int)child);
  CHECK(says(of_child, name));
  snprintf(name, sizeof name, "\nPid:\t%d\n", (int)getpid());
  CHECK(says(own, name));
  char* mapped = map_memory(12345 * 4096L, PROT_NONE, MAP_PRIVATE);
  snprintf(name, sizeof name, "%lx-", (unsigned long)(uintptr_t)mapped);
  (void)maps;
  CHECK(says(maps, "[stack]"));
  CHECK(says(uptime, "."));
  CHECK(says(online, "0"));
  snprintf(name, sizeof name, "%d", directory);
  CHECK_SYS(faccessat(directory, name, F_OK, 0));
  finish_child(child);
  return workload_ok();
}
