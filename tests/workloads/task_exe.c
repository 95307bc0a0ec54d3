// What describes a program: its executable, command line (also rewritten in place, as servers do),
// environment, auxiliary vector and name.
#include <sys/auxv.h>
#include <sys/prctl.h>

#include "workload.h"

extern char** environ;

static void read_proc(const char* name, char* data, size_t* size) {
  char path[64];
  snprintf(path, sizeof path, "/proc/self/%s", name);
  int fd = CHECK_SYS(open(path, O_RDONLY));
  *size = CHECK_SYS(read(fd, data, *size));
  close(fd);
}

struct description {
  char exe[512];
  char comm[32];
  struct {
    char data[8192];
    size_t size;
  } command_line, environment, auxiliary;
};

static void observe(struct description* now) {
  memset(now, 0, sizeof *now);
  CHECK_SYS(readlink("/proc/self/exe", now->exe, sizeof now->exe - 1));
  CHECK_SYS(prctl(PR_GET_NAME, now->comm));
  now->command_line.size = now->environment.size = now->auxiliary.size = 8192;
  read_proc("cmdline", now->command_line.data, &now->command_line.size);
  read_proc("environ", now->environment.data, &now->environment.size);
  read_proc("auxv", now->auxiliary.data, &now->auxiliary.size);
}

int main(int argc, char** argv) {
  CHECK(argc == 1);
  static struct description was;
  static struct description now;
  memset(argv[0], '#', strlen(argv[0]));
  CHECK_SYS(prctl(PR_SET_NAME, "a name (with )"));
  observe(&was);
  unsigned long random = getauxval(AT_RANDOM);
  unsigned char random_bytes[16];
  memcpy(random_bytes, (void*)random, sizeof random_bytes);
  const char* path = getenv("PATH");
  struct stat exe_was;
  CHECK_SYS(stat("/proc/self/exe", &exe_was));

  workload_ready();

  observe(&now);
  CHECK_STR(now.exe, was.exe);
  CHECK_STR(now.comm, "a name (with )");
  CHECK_EQ(argv[0][0], '#');
  CHECK_EQ(now.command_line.size, was.command_line.size);
  CHECK_EQ(memcmp(now.command_line.data, was.command_line.data, was.command_line.size), 0);
  CHECK_EQ(now.environment.size, was.environment.size);
  CHECK_EQ(memcmp(now.environment.data, was.environment.data, was.environment.size), 0);
  CHECK_EQ(now.auxiliary.size, was.auxiliary.size);
  CHECK_EQ(memcmp(now.auxiliary.data, was.auxiliary.data, was.auxiliary.size), 0);
  CHECK_EQ(memcmp(random_bytes, (void*)getauxval(AT_RANDOM), 16), 0);
  CHECK(getenv("PATH") == path);
  struct stat exe_now;
  CHECK_SYS(stat("/proc/self/exe", &exe_now));
  CHECK_EQ(exe_now.st_size, exe_was.st_size);
  // A write into the arguments still shows.
  argv[0][0] = '!';
  observe(&now);
  CHECK_EQ(now.command_line.data[0], '!');
  return workload_ok();
}
