// Locks between threads and between processes: a held mutex with waiters, a condition variable, a
// read-write lock, semaphores.
#include <semaphore.h>

#include "workload.h"

struct shared {
  pthread_mutex_t mutex;
  pthread_cond_t changed;
  sem_t semaphore;
  int stage;
  int count;
};

static struct shared* shared;
static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static int written;

static void child_body(void* argument) {
  (void)argument;
  CHECK_EQ(pthread_mutex_lock(&shared->mutex), 0);
  while (shared->stage == 0) pthread_cond_wait(&shared->changed, &shared->mutex);
  shared->count++;
  CHECK_EQ(pthread_mutex_unlock(&shared->mutex), 0);
  CHECK_SYS(sem_wait(&shared->semaphore));
}

static void* writer(void* argument) {
  CHECK_EQ(pthread_rwlock_wrlock(&rwlock), 0);
  written = 1;
  CHECK_EQ(pthread_rwlock_unlock(&rwlock), 0);
  return argument;
}

static void* locker(void* argument) {
  CHECK_EQ(pthread_mutex_lock(&shared->mutex), 0);
  shared->count += 10;
  CHECK_EQ(pthread_mutex_unlock(&shared->mutex), 0);
  return argument;
}

int main(void) {
  shared = map_memory(sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED);
  pthread_mutexattr_t mutex_attributes;
  pthread_mutexattr_init(&mutex_attributes);
  pthread_mutexattr_setpshared(&mutex_attributes, PTHREAD_PROCESS_SHARED);
  pthread_mutex_init(&shared->mutex, &mutex_attributes);
  pthread_condattr_t condition_attributes;
  pthread_condattr_init(&condition_attributes);
  pthread_condattr_setpshared(&condition_attributes, PTHREAD_PROCESS_SHARED);
  pthread_cond_init(&shared->changed, &condition_attributes);
  CHECK_SYS(sem_init(&shared->semaphore, 1, 0));
  pid_t children[2] = {spawn(child_body, NULL), spawn(child_body, NULL)};
  for (int i = 0; i < 2; i++) await_blocked(children[i], SYS_futex);
  CHECK_EQ(pthread_mutex_lock(&shared->mutex), 0);
  CHECK_EQ(pthread_rwlock_rdlock(&rwlock), 0);
  struct thread threads[2];
  start_thread(&threads[0], writer, NULL);
  start_thread(&threads[1], locker, NULL);
  for (int i = 0; i < 2; i++) await_blocked(threads[i].tid, SYS_futex);

  workload_ready();

  CHECK_EQ(written + shared->count, 0);
  shared->stage = 1;
  CHECK_EQ(pthread_cond_broadcast(&shared->changed), 0);
  CHECK_EQ(pthread_mutex_unlock(&shared->mutex), 0);
  CHECK_EQ(pthread_rwlock_unlock(&rwlock), 0);
  for (int i = 0; i < 2; i++) CHECK_SYS(sem_post(&shared->semaphore));
  for (int i = 0; i < 2; i++) join_thread(&threads[i]);
  for (int i = 0; i < 2; i++) reap_child(children[i]);
  CHECK_EQ(written, 1);
  CHECK_EQ(shared->count, 12);
  return workload_ok();
}
