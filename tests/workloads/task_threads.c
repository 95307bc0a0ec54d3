// Threads with names, of one process: their ids, names, and that they can still be woken and
// joined.
#include <sys/prctl.h>

#include "workload.h"

enum { kThreads = 12 };

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int released;
static _Thread_local int thread_local_value = -1;

static void expect_name(int index) {
  char want[16];
  char got[16];
  snprintf(want, sizeof want, "worker-%d", index);
  CHECK_SYS(prctl(PR_GET_NAME, got));
  CHECK_STR(got, want);
}

static void* work(void* argument) {
  int index = *(int*)argument;
  pid_t tid = gettid();
  char name[16];
  snprintf(name, sizeof name, "worker-%d", index);
  CHECK_SYS(prctl(PR_SET_NAME, name));
  thread_local_value = index;

  pthread_mutex_lock(&mutex);
  while (!released) pthread_cond_wait(&changed, &mutex);
  pthread_mutex_unlock(&mutex);

  CHECK_EQ(gettid(), tid);
  CHECK_EQ(thread_local_value, index);
  expect_name(index);
  return NULL;
}

static void* nothing(void* argument) {
  return argument;
}

int main(void) {
  struct thread threads[kThreads];
  int indices[kThreads];
  CHECK_SYS(prctl(PR_SET_NAME, "the-main-thread"));
  for (int i = 0; i < kThreads; i++) {
    indices[i] = i;
    start_thread(&threads[i], work, &indices[i]);
  }
  for (int i = 0; i < kThreads; i++) await_blocked(threads[i].tid, SYS_futex);

  workload_ready();

  CHECK_EQ(gettid(), getpid());
  pthread_mutex_lock(&mutex);
  released = 1;
  pthread_cond_broadcast(&changed);
  pthread_mutex_unlock(&mutex);
  for (int i = 0; i < kThreads; i++) join_thread(&threads[i]);
  char name[16];
  CHECK_SYS(prctl(PR_GET_NAME, name));
  CHECK_STR(name, "the-main-thread");
  struct thread fresh;
  start_thread(&fresh, nothing, NULL);
  join_thread(&fresh);
  return workload_ok();
}
