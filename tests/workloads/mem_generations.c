// Copy-on-write over four generations: what each process changed is its own, what none has changed
// is still one page in memory for all of them, and one that was moved by mremap too.
#include "workload.h"

enum { kPage = 4096, kGenerations = 4, kPages = 2 * kGenerations + 2 };

static char* memory;
static int depth;

static void check_generation(int generation) {
  for (int page = 0; page < kPages; page++) {
    int changed = page < generation ? page : -1;
    check_pattern(memory + page * kPage, kPage, changed >= 0 ? 100 + changed : page);
  }
}

static void descend(void* argument) {
  fill_pattern(memory + depth * kPage, kPage, 100 + depth);
  depth++;
  if (depth == 2) {
    char* moved = mremap(memory, kPages * kPage, kPages * kPage, MREMAP_MAYMOVE | MREMAP_FIXED,
                         memory + 64 * kPage);
    CHECK(moved != MAP_FAILED);
    memory = moved;
  }
  pid_t child = 0;
  if (depth < kGenerations) {
    child = spawn(descend, argument);
    await_waiting_child(child);
  }
  wait_for_go();
  check_generation(depth);
  fill_pattern(memory + (kPages - 1) * kPage, kPage, 1000);  // its own copy
  if (child != 0) finish_child(child);
}

int main(void) {
  char* area = map_memory(128 * kPage, PROT_NONE, MAP_PRIVATE);
  memory = area;
  CHECK_SYS(mprotect(memory, kPages * kPage, PROT_READ | PROT_WRITE));
  CHECK_SYS(munmap(memory + kPages * kPage, (128 - kPages) * kPage));
  for (int page = 0; page < kPages; page++) fill_pattern(memory + page * kPage, kPage, page);
  pid_t child = spawn(descend, NULL);
  await_waiting_child(child);

  workload_ready();

  check_generation(0);
  finish_child(child);
  check_generation(0);
  return workload_ok();
}
