// Processes that share their memory without being threads of one process (CLONE_VM): children,
// brothers, a grandchild, brothers whose common creator has ended, a child that was forked off such
// a process; with and without common tables, with threads, other users, timers and pending signals
// of their own.
#include <sys/prctl.h>
#include <sys/time.h>

#include "workload_sharers.h"

enum { kPatternSize = 1 << 20, kOtherUser = 4711 };

static unsigned char* pattern;  // private memory
static int ordinary;
static sem_t for_thread, from_thread;
static volatile int word;
static void* volatile mapped;

// What others than the root's own children tell of themselves.
static struct {
  volatile pid_t grandchild, brother, forked, survivors[2];
}* family;

static void* waits(void* unused) {
  while (sem_wait(&for_thread) != 0) continue;
  CHECK_EQ(word, 1);
  word = 2;
  CHECK_EQ(sem_post(&from_thread), 0);
  return unused;
}

// It shares nothing else, and has a thread that waits for one of its parent.
static void shares_memory_alone(void* argument) {
  (void)argument;
  struct thread thread;
  start_thread(&thread, waits, NULL);
  wait_for_go();
  join_thread(&thread);
  CHECK_SYS(dup2(ordinary, 40));
  CHECK_SYS(chdir("below"));
  mapped = map_memory(kPatternSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
  fill_pattern(mapped, kPatternSize, 2);
}

static void grandchild(void* argument) {
  (void)argument;
  wait_for_go();
  CHECK_SYS(dup2(ordinary, 41));
  CHECK_EQ(word, 3);
  word = 4;
}

static void brother(void* argument) {
  (void)argument;
  wait_for_go();
  CHECK_EQ(word, 4);
  word = 5;
}

// Its memory is a copy.
static void is_forked_off(void* argument) {
  (void)argument;
  wait_for_go();
  check_pattern(pattern, kPatternSize, 1);
  memset(pattern, 0, kPatternSize);
}

static void shares_tables(void* argument) {
  (void)argument;
  struct sharer* child = start_sharer(CLONE_FILES | CLONE_FS, grandchild, NULL);
  family->grandchild = child->pid;
  struct sharer* other = start_sharer(CLONE_PARENT, brother, NULL);
  family->brother = other->pid;
  family->forked = spawn(is_forked_off, NULL);
  await_waiting_child(family->forked);
  await_waiting_child(child->pid);
  wait_for_go();
  finish_child(family->forked);
  finish_sharer(child);
}

// Who has another user, a timer and a pending signal that are not its parent's.
static void has_its_own(void* argument) {
  (void)argument;
  sigset_t set, pending;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR2);
  CHECK_SYS(sigprocmask(SIG_BLOCK, &set, NULL));
  CHECK_SYS(kill(getpid(), SIGUSR2));
  struct itimerval timer = {.it_value.tv_sec = 10000};
  CHECK_SYS(setitimer(ITIMER_REAL, &timer, NULL));
  CHECK_SYS(prctl(PR_SET_NAME, "has_its_own"));
  CHECK_SYS(syscall(SYS_setresuid, kOtherUser, kOtherUser, kOtherUser));
  CHECK_SYS(prctl(PR_SET_DUMPABLE, 1));  // for all who have the memory; it has just ended
  wait_for_go();
  CHECK_EQ(getuid(), kOtherUser);
  CHECK_STR(status_field(getpid(), "Name"), "has_its_own");
  CHECK_SYS(sigpending(&pending));
  CHECK_EQ(sigismember(&pending, SIGUSR2), 1);
  CHECK_SYS(getitimer(ITIMER_REAL, &timer));
  CHECK_RANGE(timer.it_value.tv_sec, 9000, 10000);
}

// The creator of these two has ended; the memory is theirs alone.
static volatile int left_word;
static void survivor(void* argument) {
  (void)argument;
  wait_for_go();
  left_word += 1;
  wait_for_go();
  CHECK_EQ(left_word, 2);
}

static void leaves_two(void* argument) {
  (void)argument;
  for (int i = 0; i < 2; i += 1)
    family->survivors[i] = start_sharer(CLONE_PARENT, survivor, NULL)->pid;
}

static void step(pid_t child) {
  CHECK_SYS(kill(child, SIGUSR1));
  await_waiting_child(child);
}

static void check_sharing(struct sharer* alone, struct sharer* with_tables) {
  CHECK(has_same(KCMP_VM, getpid(), alone->pid));
  CHECK(!has_same(KCMP_SIGHAND, getpid(), alone->pid));
  CHECK(!has_same(KCMP_FILES, getpid(), alone->pid));
  CHECK(has_same(KCMP_VM, getpid(), family->grandchild));
  CHECK(has_same(KCMP_VM, getpid(), family->brother));
  CHECK(has_same(KCMP_FILES, with_tables->pid, family->grandchild));
  CHECK(!has_same(KCMP_VM, getpid(), family->forked));
  CHECK(!has_same(KCMP_VM, getpid(), family->survivors[0]));
  CHECK(has_same(KCMP_VM, family->survivors[0], family->survivors[1]));
}

int main(void) {
  CHECK_SYS(mkdir("below", 0755));
  family = map_memory(4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS);
  pattern = map_memory(kPatternSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
  fill_pattern(pattern, kPatternSize, 1);
  ordinary = make_file("file", "text of the file");
  CHECK_EQ(sem_init(&for_thread, 0, 0), 0);
  CHECK_EQ(sem_init(&from_thread, 0, 0), 0);
  reap_child(spawn(leaves_two, NULL));
  struct sharer* alone = start_sharer(0, shares_memory_alone, NULL);
  struct sharer* with_tables = start_sharer(CLONE_FILES | CLONE_FS, shares_tables, NULL);
  struct sharer* other = start_sharer(0, has_its_own, NULL);
  await_waiting_child(alone->pid);
  await_waiting_child(with_tables->pid);
  await_waiting_child(other->pid);
  await_waiting_child(family->brother);
  for (int i = 0; i < 2; i += 1) await_waiting_child(family->survivors[i]);
  check_sharing(alone, with_tables);

  workload_ready();

  check_sharing(alone, with_tables);
  CHECK_EQ(prctl(PR_GET_DUMPABLE), 1);
  word = 1;
  CHECK_EQ(sem_post(&for_thread), 0);
  while (sem_wait(&from_thread) != 0) continue;
  CHECK_EQ(word, 2);
  finish_sharer(alone);
  check_pattern(mapped, kPatternSize, 2);
  CHECK_ERRNO(fcntl(40, F_GETFD), EBADF);
  CHECK_SYS(access("below", F_OK));

  word = 3;
  CHECK_SYS(kill(family->forked, SIGUSR1));
  finish_sharer(with_tables);
  CHECK_SYS(fcntl(41, F_GETFD));
  check_pattern(pattern, kPatternSize, 1);
  finish_child(family->brother);
  CHECK_EQ(word, 5);
  finish_sharer(other);
  CHECK_EQ(getuid(), 0);

  for (int i = 0; i < 2; i += 1) step(family->survivors[i]);
  for (int i = 0; i < 2; i += 1) finish_child(family->survivors[i]);
  CHECK_EQ(left_word, 0);
  return workload_ok();
}
