// So much memory that it is captured over several lanes: a process, and below it two that share
// most of it, each with pages of its own in the middle.
#include "workload.h"

enum { kPage = 4096, kOwn = 12 << 20, kSize = 72 << 20 };

static char* memory;

static char* own_part(int depth) {
  return memory + (size_t)depth * kOwn;
}

static void check_all(int depth) {
  for (int i = 0; i < kSize / kOwn; i++)
    check_pattern(memory + (size_t)i * kOwn, kOwn, i >= 1 && i <= depth ? 100 + i : i);
}

static void child_body(void* argument) {
  int depth = *(int*)argument;
  fill_pattern(own_part(depth), kOwn, 100 + depth);
  pid_t child = 0;
  int next = depth + 1;
  if (depth < 2) {
    child = spawn(child_body, &next);
    await_waiting_child(child);
  }
  wait_for_go();
  check_all(depth);
  if (child != 0) finish_child(child);
}

int main(void) {
  memory = map_memory(kSize, PROT_READ | PROT_WRITE, MAP_PRIVATE);
  CHECK_SYS(madvise(memory, kSize, MADV_NOHUGEPAGE));
  for (int i = 0; i < kSize / kOwn; i++) fill_pattern(memory + (size_t)i * kOwn, kOwn, i);
  int depth = 1;
  pid_t child = spawn(child_body, &depth);
  await_waiting_child(child);

  workload_ready();

  check_all(0);
  finish_child(child);
  return workload_ok();
}
