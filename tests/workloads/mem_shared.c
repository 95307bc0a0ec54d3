// Anonymous memory shared by a parent and its children, also by a part mapped at another place.
#include "workload.h"

enum { kPages = 600, kPage = 4096, kSize = kPages * kPage };

struct shared {
  _Atomic int from_child;
  _Atomic int from_parent;
  char data[];
};

static struct shared* shared;

static void child_body(void* argument) {
  (void)argument;
  wait_for_go();
  check_pattern(shared->data + 8 * kPage, 64 * kPage, 7);
  while (shared->from_parent != 1) sched_yield();
  shared->data[0] = 'c';
  shared->from_child = 2;
}

// A child that has only the tail of the object, at an address of its own.
static void tail_body(void* argument) {
  (void)argument;
  char* tail =
      mremap((char*)shared + 500 * kPage, 100 * kPage, 100 * kPage, MREMAP_MAYMOVE | MREMAP_FIXED,
             map_memory(100 * kPage, PROT_NONE, MAP_PRIVATE));
  CHECK(tail != MAP_FAILED);
  CHECK_SYS(munmap(shared, 500 * kPage));
  wait_for_go();
  CHECK_EQ(tail[99 * kPage], 't');
  tail[99 * kPage + 1] = 'u';
}

int main(void) {
  shared = map_memory(kSize, PROT_READ | PROT_WRITE, MAP_SHARED);
  fill_pattern(shared->data + 8 * kPage, 64 * kPage, 7);
  pid_t child = spawn(child_body, NULL);
  pid_t tail = spawn(tail_body, NULL);
  await_waiting_child(child);
  await_waiting_child(tail);

  workload_ready();

  ((char*)shared)[599 * kPage] = 't';
  CHECK_SYS(kill(child, SIGUSR1));
  check_pattern(shared->data + 8 * kPage, 64 * kPage, 7);
  shared->from_parent = 1;
  while (shared->from_child != 2 && task_state(child) != 'Z') sched_yield();
  CHECK_EQ(shared->from_child, 2);
  CHECK_EQ(shared->data[0], 'c');
  reap_child(child);
  finish_child(tail);
  CHECK_EQ(((char*)shared)[599 * kPage + 1], 'u');
  return workload_ok();
}
