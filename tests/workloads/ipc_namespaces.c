// Processes in IPC namespaces of their own: with objects of the same ids and names as elsewhere,
// attached segments, SEM_UNDO, removed and unattended objects, settings, the notification of a
// queue; a child that lives with its parent, and one that has gone back.
// modes: container
// rights: CAP_SYS_ADMIN
#include <sched.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>

#include "workload_queues.h"

enum { kKey = 0x4d6172, kSize = 5 * 4096 };

struct objects {
  char* memory;
  char* orphan;  // its segment was removed
  int segment, semaphores, messages;
  mqd_t queue, removed;
};

struct message {
  long type;
  char text[16];
};

static char* attach(int id) {
  char* memory = shmat(id, NULL, 0);
  CHECK(memory != (void*)-1);
  return memory;
}

// In every namespace they get the same ids.
static struct objects make_objects(unsigned seed, const char* text) {
  struct objects made;
  made.segment = CHECK_SYS(shmget(kKey, kSize, IPC_CREAT | IPC_EXCL | 0600));
  made.memory = attach(made.segment);
  fill_pattern(made.memory, kSize - 1, seed);
  int removed = CHECK_SYS(shmget(IPC_PRIVATE, kSize, 0600));
  made.orphan = attach(removed);
  CHECK_SYS(shmctl(removed, IPC_RMID, NULL));
  fill_pattern(made.orphan, kSize, seed + 100);
  made.semaphores = CHECK_SYS(semget(kKey, 2, IPC_CREAT | IPC_EXCL | 0600));
  CHECK_SYS(semctl(made.semaphores, 0, SETVAL, (int)seed));
  made.messages = CHECK_SYS(msgget(kKey, IPC_CREAT | IPC_EXCL | 0600));
  struct message message = {3, ""};
  snprintf(message.text, sizeof message.text, "%s", text);
  CHECK_SYS(msgsnd(made.messages, &message, sizeof message.text, 0));
  made.queue = create("/name", O_RDWR);
  put(made.queue, text, seed);
  made.removed = create("/gone", O_RDWR);
  put(made.removed, text, seed + 1);
  CHECK_SYS(mq_unlink("/gone"));
  return made;
}

static void check_objects(const struct objects* made, unsigned seed, const char* text,
                          unsigned long attached) {
  check_pattern(made->memory, kSize - 1, seed);
  check_pattern(made->orphan, kSize, seed + 100);
  CHECK_EQ(CHECK_SYS(shmget(kKey, 0, 0)), made->segment);
  struct shmid_ds status;
  CHECK_SYS(shmctl(made->segment, IPC_STAT, &status));
  CHECK_EQ(status.shm_nattch, attached);
  CHECK_EQ(CHECK_SYS(semget(kKey, 0, 0)), made->semaphores);
  CHECK_EQ(CHECK_SYS(semctl(made->semaphores, 0, GETVAL)), (int)seed);
  CHECK_EQ(CHECK_SYS(msgget(kKey, 0)), made->messages);
  struct message message;
  CHECK_EQ(CHECK_SYS(msgrcv(made->messages, &message, sizeof message.text, 3, IPC_NOWAIT)),
           sizeof message.text);
  CHECK_STR(message.text, text);
  expect((mqd_t)CHECK_SYS(mq_open("/name", O_RDWR)), text, seed);
  put(made->queue, "again", 1);
  expect((mqd_t)CHECK_SYS(mq_open("/name", O_RDWR)), "again", 1);
  expect(made->removed, text, seed + 1);
  CHECK_ERRNO(mq_open("/gone", O_RDWR), ENOENT);
}

static void set(const char* path, const char* value) {
  int file = CHECK_SYS(open(path, O_WRONLY));
  write_all(file, value, strlen(value));
  CHECK_SYS(close(file));
}

static struct objects own;

// Its adjustment is undone when it ends, in the namespace that it lives in.
static void inner_body(void* argument) {
  (void)argument;
  struct sembuf take = {1, 4, SEM_UNDO};
  CHECK_SYS(semop(own.semaphores, &take, 1));
  wait_for_go();
  CHECK_EQ(CHECK_SYS(semctl(own.semaphores, 1, GETVAL)), 4);
  own.memory[kSize - 1] = 'i';
}

static int is_writable(const char* path) {
  return access(path, W_OK) == 0;
}

static mqd_t ask_for_signal(sigset_t* set) {
  sigemptyset(set);
  sigaddset(set, SIGRTMIN);
  CHECK_SYS(sigprocmask(SIG_BLOCK, set, NULL));
  mqd_t queue = create("/tells", O_RDWR);
  struct sigevent event = {
      .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN, .sigev_value.sival_int = 42};
  CHECK_SYS(mq_notify(queue, &event));
  return queue;
}

static void expect_signal(mqd_t queue, const sigset_t* set) {
  put(queue, "told", 1);
  siginfo_t info;
  CHECK_EQ(CHECK_SYS(sigwaitinfo(set, &info)), SIGRTMIN);
  CHECK_EQ(info.si_value.sival_int, 42);
}

static void outer_body(void* argument) {
  (void)argument;
  if (unshare(CLONE_NEWIPC) != 0) workload_skip("no right to make IPC namespaces");
  const int may_set = is_writable("/proc/sys/kernel/msgmnb");
  if (may_set) set("/proc/sys/kernel/msgmnb", "20480");
  own = make_objects(2, "outer");
  sigset_t set;
  mqd_t telling = ask_for_signal(&set);
  pid_t inner = spawn(inner_body, NULL);
  await_waiting_child(inner);
  wait_for_go();
  finish_child(inner);
  CHECK_EQ(own.memory[kSize - 1], 'i');
  CHECK_EQ(CHECK_SYS(semctl(own.semaphores, 1, GETVAL)), 0);
  check_objects(&own, 2, "outer", 1);
  expect_signal(telling, &set);
  if (may_set) {
    struct msqid_ds status;
    int made = CHECK_SYS(msgget(IPC_PRIVATE, 0600));
    CHECK_SYS(msgctl(made, IPC_STAT, &status));
    CHECK_EQ(status.msg_qbytes, 20480);
  }
}

// An empty namespace, with a child that lives in the root's.
static void back_body(void* argument) {
  int of_root = *(int*)argument;
  CHECK_SYS(setns(of_root, CLONE_NEWIPC));
  CHECK_SYS(close(of_root));
  wait_for_go();
  CHECK_EQ(CHECK_SYS(semctl(CHECK_SYS(semget(kKey, 0, 0)), 0, GETVAL)), 1);
}

static void empty_body(void* argument) {
  (void)argument;
  int of_root = CHECK_SYS(open("/proc/self/ns/ipc", O_RDONLY));
  CHECK_SYS(unshare(CLONE_NEWIPC));
  pid_t back = spawn(back_body, &of_root);
  await_waiting_child(back);
  CHECK_SYS(close(of_root));
  wait_for_go();
  finish_child(back);
  CHECK_ERRNO(semget(kKey, 0, 0), ENOENT);
  CHECK_ERRNO(mq_open("/name", O_RDWR), ENOENT);
}

int main(void) {
  pid_t outer = spawn(outer_body, NULL);
  await_waiting_child(outer);
  pid_t empty = spawn(empty_body, NULL);
  await_waiting_child(empty);
  struct objects of_root = make_objects(1, "root");

  workload_ready();

  finish_child(outer);
  finish_child(empty);
  check_objects(&of_root, 1, "root", 1);
  return workload_ok();
}
