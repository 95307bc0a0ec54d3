// Cgroups that a container has made below its own: who lives where, limits, controllers, owners, a
// threaded one, and one whose task is frozen and stays so. Version 2 and, where the host has them,
// hierarchies of version 1.
// modes: container
// rights: CAP_SYS_ADMIN CAP_CHOWN CAP_DAC_OVERRIDE
#include <limits.h>

#include "workload.h"

#define CGROUP2 "/cgroup2"
#define CGROUP1 "/sys/fs/cgroup"

static volatile uint64_t* counter;

static bool exists(const char* path) {
  return access(path, F_OK) == 0;
}

// The kernel takes or refuses a whole write.
static void put(const char* path, const char* text) {
  int fd = CHECK_SYS(open(path, O_WRONLY));
  CHECK_EQ(write(fd, text, strlen(text)), strlen(text));
  CHECK_SYS(close(fd));
}

static void put_number(const char* path, long number) {
  char text[32];
  snprintf(text, sizeof text, "%ld", number);
  put(path, text);
}

static void expect(const char* path, const char* text) {
  CHECK_STR(read_small_file(path), text);
}

static void expect_event(const char* path, const char* event) {
  const char* events = read_small_file(path);
  if (strstr(events, event) == NULL) workload_fail(__FILE__, __LINE__, path, events, event);
}

// What /proc tells of the task's place in a hierarchy; `key` is such as "0::" or ":pids:".
static void expect_place(pid_t process, pid_t task, const char* key, const char* place) {
  char path[64], line[PATH_MAX];
  snprintf(path, sizeof path, "/proc/%d/task/%d/cgroup", process, task);
  FILE* places = fopen(path, "r");
  CHECK(places != NULL);
  bool found = false;
  while (!found && fgets(line, sizeof line, places) != NULL) {
    char* at = strstr(line, key);
    if (at == NULL) continue;
    found = true;
    line[strcspn(line, "\n")] = 0;
    CHECK_STR(at + strlen(key), place);
  }
  fclose(places);
  CHECK(found);
}

static void wait_body(void* argument) {
  (void)argument;
  wait_for_go();
}

static void count_body(void* argument) {
  (void)argument;
  for (;;) ++*counter;
}

static void* wait_in_thread(void* argument) {
  char go;
  read_all(*(int*)argument, &go, 1);
  return NULL;
}

static int thread_ends[2];
static struct thread thread;

// Its second thread goes to a threaded cgroup.
static void threads_body(void* argument) {
  (void)argument;
  CHECK_SYS(pipe(thread_ends));
  start_thread(&thread, wait_in_thread, &thread_ends[0]);
  put_number(CGROUP2 "/t/cgroup.procs", getpid());
  put(CGROUP2 "/t/one/cgroup.type", "threaded");
  put_number(CGROUP2 "/t/one/cgroup.threads", thread.tid);
  await_blocked(thread.tid, SYS_read);
  wait_for_go();
  expect_place(getpid(), getpid(), "0::", "/t");
  expect_place(getpid(), thread.tid, "0::", "/t/one");
  expect(CGROUP2 "/t/one/cgroup.type", "threaded\n");
  expect(CGROUP2 "/t/cgroup.type", "domain threaded\n");
  write_all(thread_ends[1], "g", 1);
  join_thread(&thread);
}

// Every controller that this host offers; nobody may live in the cgroup that gives them.
static void give_controllers(void) {
  put_number(CGROUP2 "/main/cgroup.procs", getpid());
  char names[256], with_sign[256];
  snprintf(names, sizeof names, "%s", read_small_file(CGROUP2 "/cgroup.controllers"));
  for (char* name = strtok(names, " \n"); name != NULL; name = strtok(NULL, " \n")) {
    snprintf(with_sign, sizeof with_sign, "+%s", name);
    put(CGROUP2 "/cgroup.subtree_control", with_sign);
  }
}

static const struct {
  const char* path;
  const char* value;
} kLimits[] = {{CGROUP2 "/a/cgroup.max.depth", "3"},
               {CGROUP2 "/a/hugetlb.2MB.max", "4194304"},
               {CGROUP2 "/a/memory.high", "1073741824"},
               {CGROUP2 "/a/memory.max", "2147483648"},
               {CGROUP2 "/a/pids.max", "77"},
               {CGROUP2 "/a/cpu.max", "50000 100000"},
               {CGROUP2 "/a/cpu.weight", "50"},
               {CGROUP1 "/pids/x/pids.max", "17"},
               {CGROUP1 "/cpu/x/cpu.shares", "512"},
               {CGROUP1 "/cpu/x/cpu.cfs_quota_us", "50000"},
               {CGROUP1 "/memory/x/memory.limit_in_bytes", "1073741824"},
               {CGROUP1 "/cpuset/x/cpuset.cpus", "0"},
               {CGROUP1 "/cpuset/x/cpuset.mems", "0"}};
enum { kLimitCount = sizeof kLimits / sizeof *kLimits };

static const char* const kOld[] = {"pids", "cpu", "memory", "cpuset"};
enum { kOldCount = sizeof kOld / sizeof *kOld };

static bool has_old(size_t number) {
  char path[64];
  snprintf(path, sizeof path, CGROUP1 "/%s/cgroup.procs", kOld[number]);
  return exists(path);
}

static void make_old(void) {
  char path[64];
  for (size_t i = 0; i < kOldCount; i++) {
    if (!has_old(i)) continue;
    snprintf(path, sizeof path, CGROUP1 "/%s/x", kOld[i]);
    CHECK_SYS(mkdir(path, 0755));
  }
}

static void enter_old(pid_t process) {
  char path[64];
  for (size_t i = 0; i < kOldCount; i++) {
    if (!has_old(i)) continue;
    snprintf(path, sizeof path, CGROUP1 "/%s/x/cgroup.procs", kOld[i]);
    put_number(path, process);
  }
}

static void expect_old(pid_t process) {
  char key[64];
  for (size_t i = 0; i < kOldCount; i++) {
    if (!has_old(i)) continue;
    snprintf(key, sizeof key, ":%s:", kOld[i]);
    expect_place(process, process, key, "/x");
    expect_place(getpid(), getpid(), key, "/");
  }
}

static void set_limits(void) {
  for (size_t i = 0; i < kLimitCount; i++)
    if (exists(kLimits[i].path)) put(kLimits[i].path, kLimits[i].value);
}

static void check_limits(void) {
  for (size_t i = 0; i < kLimitCount; i++) {
    if (!exists(kLimits[i].path)) continue;
    char want[64];
    snprintf(want, sizeof want, "%s\n", kLimits[i].value);
    workload_context(kLimits[i].path);
    expect(kLimits[i].path, want);
  }
  workload_context(NULL);
}

static void await_event(const char* path, const char* event) {
  while (strstr(read_small_file(path), event) == NULL) sched_yield();
}

static void make_tree(void) {
  static const char* const kPaths[] = {"main", "a", "a/b", "a/b/empty", "frozen", "t", "t/one"};
  for (size_t i = 0; i < sizeof kPaths / sizeof *kPaths; i++) {
    char path[64];
    snprintf(path, sizeof path, CGROUP2 "/%s", kPaths[i]);
    CHECK_SYS(mkdir(path, 0755));
  }
  CHECK_SYS(chown(CGROUP2 "/a", 1000, 1001));
  CHECK_SYS(chown(CGROUP2 "/a/cgroup.procs", 1000, 1001));
}

static void check_owner(const char* path, uid_t user, gid_t group) {
  struct stat status;
  CHECK_SYS(stat(path, &status));
  CHECK_EQ(status.st_uid, user);
  CHECK_EQ(status.st_gid, group);
}

static void remove_tree(void) {
  CHECK_SYS(rmdir(CGROUP2 "/a/b/empty"));
  CHECK_SYS(rmdir(CGROUP2 "/a/b"));
  CHECK_SYS(rmdir(CGROUP2 "/a"));
  CHECK_SYS(rmdir(CGROUP2 "/frozen"));
  CHECK_SYS(rmdir(CGROUP2 "/t/one"));
  CHECK_SYS(rmdir(CGROUP2 "/t"));
}

int main(void) {
  if (!exists(CGROUP2 "/cgroup.subtree_control")) workload_skip("no cgroup v2 to write to");
  counter = map_memory(4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS);
  make_tree();
  make_old();
  give_controllers();
  set_limits();
  pid_t threads = spawn(threads_body, NULL);
  await_waiting_child(threads);
  pid_t member = spawn(wait_body, NULL);
  await_waiting_child(member);
  put_number(CGROUP2 "/a/b/cgroup.procs", member);
  enter_old(member);
  pid_t counting = spawn(count_body, NULL);
  while (*counter == 0) sched_yield();
  put_number(CGROUP2 "/frozen/cgroup.procs", counting);
  put(CGROUP2 "/frozen/cgroup.freeze", "1");
  await_event(CGROUP2 "/frozen/cgroup.events", "frozen 1");
  const uint64_t counted = *counter;
  int directory = CHECK_SYS(open(CGROUP2 "/a", O_RDONLY | O_DIRECTORY));
  int events = CHECK_SYS(open(CGROUP2 "/frozen/cgroup.events", O_RDONLY));

  workload_ready();

  await_event(CGROUP2 "/frozen/cgroup.events", "frozen 1");
  CHECK_EQ(*counter, counted);
  expect(CGROUP2 "/frozen/cgroup.freeze", "1\n");
  expect_place(counting, counting, "0::", "/frozen");
  expect_place(member, member, "0::", "/a/b");
  expect_place(getpid(), getpid(), "0::", "/main");
  expect_old(member);
  check_limits();
  check_owner(CGROUP2 "/a", 1000, 1001);
  check_owner(CGROUP2 "/a/cgroup.procs", 1000, 1001);
  check_owner(CGROUP2 "/a/cgroup.type", 0, 0);
  expect_event(CGROUP2 "/a/b/cgroup.events", "populated 1");
  expect_text(events, "populated 1");
  CHECK_SYS(faccessat(directory, "b/empty", F_OK, 0));
  put(CGROUP2 "/frozen/cgroup.freeze", "0");
  while (*counter == counted) sched_yield();
  CHECK_SYS(kill(counting, SIGKILL));
  CHECK_EQ(waitpid(counting, NULL, 0), counting);
  finish_child(member);
  finish_child(threads);
  remove_tree();
  return workload_ok();
}
