// Children in user namespaces of their own, as sandboxes make them: of root and of another user,
// with maps and without, one in the other, with one between that nobody is in, with threads and
// children, with fewer capabilities and a seccomp filter, and with host names that belong to them.
#include <linux/filter.h>
#include <linux/nsfs.h>
#include <linux/seccomp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/utsname.h>

#include "workload_credentials.h"
#include "workload_namespaces.h"

enum { kUser = 1000, kAllIds = 65534 };

// --- What a user namespace is

struct situation {
  char users[256];
  char groups[256];
  char setgroups[16];
  struct credentials credentials;
};

static void observe(struct situation* now) {
  memset(now, 0, sizeof *now);
  snprintf(now->users, sizeof now->users, "%s", read_small_file("/proc/self/uid_map"));
  snprintf(now->groups, sizeof now->groups, "%s", read_small_file("/proc/self/gid_map"));
  snprintf(now->setgroups, sizeof now->setgroups, "%s", read_small_file("/proc/self/setgroups"));
  observe_credentials(&now->credentials);
}

static void check_same(const struct situation* was) {
  struct situation now;
  observe(&now);
  CHECK_STR(now.users, was->users);
  CHECK_STR(now.groups, was->groups);
  CHECK_STR(now.setgroups, was->setgroups);
  check_credentials(&was->credentials);
}

static void write_map(pid_t process, const char* name, const char* text) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/%s", process, name);
  int file = CHECK_SYS(open(path, O_WRONLY));
  write_all(file, text, strlen(text));
  CHECK_SYS(close(file));
}

static void enter_new(const char* users, const char* groups) {
  CHECK_SYS(unshare(CLONE_NEWUSER));
  if (users != NULL) write_map(getpid(), "uid_map", users);
  if (groups == NULL) return;
  write_map(getpid(), "setgroups", "deny");
  write_map(getpid(), "gid_map", groups);
}

static ino_t inode(int file) {
  struct stat status;
  CHECK_SYS(fstat(file, &status));
  CHECK_SYS(close(file));
  return status.st_ino;
}

static int open_namespace(pid_t process, const char* name) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/ns/%s", process, name);
  return CHECK_SYS(open(path, O_RDONLY));
}

static void stay_the_same(void) {
  struct situation before;
  observe(&before);
  wait_for_go();
  check_same(&before);
}

// --- Those of root

static void plain_body(void* argument) {
  (void)argument;
  enter_new("0 0 1", "0 0 1");
  stay_the_same();
  CHECK_EQ(getuid(), 0);
}

// Without maps nobody has a number, until they are written.
static void unmapped_body(void* argument) {
  (void)argument;
  enter_new(NULL, NULL);
  stay_the_same();
  CHECK_EQ(getuid(), kAllIds);
  write_map(getpid(), "uid_map", "77 0 1");
  CHECK_EQ(getuid(), 77);
}

enum { kForbidden = 77 };

static void forbid(uint32_t number) {
  struct sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | kForbidden),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog program = {sizeof code / sizeof *code, code};
  CHECK_SYS(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program));
}

// It takes the rights that it does not need from itself.
static void meek_body(void* argument) {
  (void)argument;
  enter_new("0 0 1", "0 0 1");
  CHECK_SYS(prctl(PR_CAPBSET_DROP, CAP_NET_RAW));
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct caps[2] = {{1u << CAP_CHOWN, 1u << CAP_CHOWN | 1u << CAP_KILL, 0},
                                           {0, 0, 0}};
  CHECK_SYS(syscall(SYS_capset, &header, caps));
  CHECK_SYS(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
  forbid(SYS_setns);
  stay_the_same();
  CHECK_ERRNO(setns(-1, 0), kForbidden);
}

// Its maps are another's work, and it has become one of many users.
static void one_of_many_body(void* argument) {
  const int* ends = argument;
  char written;
  CHECK_SYS(unshare(CLONE_NEWUSER));
  write_all(ends[0], "u", 1);
  read_all(ends[0], &written, 1);
  const gid_t groups[] = {103, 101};
  CHECK_SYS(setgroups(2, groups));
  CHECK_SYS(setresgid(104, 104, 104));
  CHECK_SYS(setresuid(5, 6, 7));
  CHECK_SYS(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0));  // to be seen from outside
  stay_the_same();
  CHECK_EQ(geteuid(), 6);
}

static pid_t spawn_one_of_many(void) {
  int ends[2];
  char made;
  CHECK_SYS(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
  int theirs[2] = {ends[1], ends[0]};
  pid_t child = spawn(one_of_many_body, theirs);
  read_all(ends[0], &made, 1);
  write_map(child, "uid_map", "0 2000 10\n100 5000 50\n");
  write_map(child, "gid_map", "0 0 1\n100 3000 10\n");
  write_all(ends[0], "w", 1);
  CHECK_SYS(close(ends[0]));
  CHECK_SYS(close(ends[1]));
  return child;
}

// --- That of a user without rights

struct worker {
  struct thread thread;
  int ends[2];
  int alone;  // gives up its capabilities
};

static void* work(void* argument) {
  struct worker* worker = argument;
  if (worker->alone) {
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct none[2] = {};
    CHECK_SYS(syscall(SYS_capset, &header, none));
  }
  struct situation before;
  observe(&before);
  char go;
  read_all(worker->ends[0], &go, 1);
  CHECK_EQ(gettid(), worker->thread.tid);
  check_same(&before);
  return argument;
}

static void start_worker(struct worker* worker, int alone) {
  CHECK_SYS(pipe(worker->ends));
  worker->alone = alone;
  start_thread(&worker->thread, work, worker);
  await_blocked(worker->thread.tid, SYS_read);
}

static void finish_worker(struct worker* worker) {
  write_all(worker->ends[1], "g", 1);
  join_thread(&worker->thread);
}

static void check_names(void) {
  struct utsname names;
  CHECK_SYS(uname(&names));
  CHECK_STR(names.nodename, "sandbox");
}

// The one between its own and its parent's has no process.
static void innermost_body(void* argument) {
  (void)argument;
  enter_new("0 0 1", "0 0 1");
  enter_new("1000 0 1", "1000 0 1");
  stay_the_same();
  CHECK_EQ(getuid(), kUser);
  check_names();
}

static uid_t owner_of(int name_space) {
  uid_t owner = kAllIds;
  CHECK_SYS(ioctl(name_space, NS_GET_OWNER_UID, &owner));
  return owner;
}

static void check_two_above(pid_t innermost) {
  int own = open_namespace(innermost, "user");
  int above = CHECK_SYS(ioctl(own, NS_GET_PARENT));
  int two_above = CHECK_SYS(ioctl(above, NS_GET_PARENT));
  CHECK_EQ(owner_of(above), 0);
  CHECK_EQ(owner_of(two_above), 0);  // user 1000 outside
  CHECK_EQ(inode(two_above), inode(open_namespace(getpid(), "user")));
  CHECK_SYS(close(own));
  CHECK_SYS(close(above));
}

static void beside_body(void* argument) {
  (void)argument;
  stay_the_same();
  check_names();
  CHECK_EQ(inode(open_namespace(getpid(), "user")), inode(open_namespace(getppid(), "user")));
  CHECK_EQ(inode(open_namespace(getpid(), "uts")), inode(open_namespace(getppid(), "uts")));
}

static void sandbox_body(void* argument) {
  (void)argument;
  CHECK_SYS(setgroups(0, NULL));
  CHECK_SYS(setresgid(kUser, kUser, kUser));
  CHECK_SYS(setresuid(kUser, kUser, kUser));
  CHECK_SYS(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0));  // its files of /proc are its own
  enter_new("0 1000 1", "0 1000 1");
  CHECK_SYS(unshare(CLONE_NEWUTS));
  CHECK_SYS(sethostname("sandbox", 7));
  pid_t beside = spawn(beside_body, NULL);
  await_waiting_child(beside);
  pid_t innermost = spawn(innermost_body, NULL);
  await_waiting_child(innermost);
  struct worker workers[2];
  start_worker(&workers[0], 0);
  start_worker(&workers[1], 1);

  stay_the_same();

  check_names();
  CHECK_SYS(sethostname("sandbox", 7));
  int names = open_namespace(getpid(), "uts");
  CHECK_EQ(inode(CHECK_SYS(ioctl(names, NS_GET_USERNS))), inode(open_namespace(getpid(), "user")));
  CHECK_SYS(close(names));
  check_two_above(innermost);
  finish_worker(&workers[0]);
  finish_worker(&workers[1]);
  finish_child(beside);
  finish_child(innermost);
}

// --- Seen from outside

static void check_relations(pid_t child) {
  int own = open_namespace(child, "user");
  CHECK_EQ(owner_of(own), 0);
  CHECK_EQ(inode(CHECK_SYS(ioctl(own, NS_GET_PARENT))), inode(open_namespace(getpid(), "user")));
  CHECK_SYS(close(own));
}

int main(void) {
  need_namespaces(CLONE_NEWUSER);
  enum { kPlain, kUnmapped, kMeek, kSandbox, kOneOfMany, kChildren };
  void (*const bodies[])(void*) = {plain_body, unmapped_body, meek_body, sandbox_body};
  pid_t children[kChildren];
  for (int i = 0; i < kOneOfMany; i++) {
    children[i] = spawn(bodies[i], NULL);
    await_waiting_child(children[i]);
  }
  children[kOneOfMany] = spawn_one_of_many();
  await_waiting_child(children[kOneOfMany]);

  int kept = open_namespace(children[kPlain], "user");

  workload_ready();

  CHECK_EQ(inode(kept), inode(open_namespace(children[kPlain], "user")));
  for (int i = 0; i < kChildren; i++) {
    if (i != kSandbox) check_relations(children[i]);
    finish_child(children[i]);
  }
  return workload_ok();
}
