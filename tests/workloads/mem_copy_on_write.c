// Pages that fork shares between a parent and its children are still shared, not copied.
#include "workload.h"

enum { kPages = 4096, kPage = 4096, kSize = kPages * kPage, kChildren = 3 };

static char* memory;

// How much of the mapping is this process's alone, in KiB.
static long private_kib(void) {
  return strtol(smaps_field(memory, "Private_Dirty:"), NULL, 10) +
         strtol(smaps_field(memory, "Private_Clean:"), NULL, 10);
}

static long shared_kib(void) {
  return strtol(smaps_field(memory, "Shared_Dirty:"), NULL, 10) +
         strtol(smaps_field(memory, "Shared_Clean:"), NULL, 10);
}

static void child_body(void* argument) {
  int index = *(int*)argument;
  memory[index * kPage] = 'A' + index;
  if (index == 2) CHECK_SYS(munmap(memory + 100 * kPage, 50 * kPage));
  wait_for_go();
  CHECK_EQ(memory[index * kPage], 'A' + index);
  check_pattern(memory + 200 * kPage, kSize - 200 * kPage, 9);
  memory[1000 * kPage] = 'x';  // stays with this child
}

int main(void) {
  memory = map_memory(kSize, PROT_READ | PROT_WRITE, MAP_PRIVATE);
  CHECK_SYS(madvise(memory, kSize, MADV_NOHUGEPAGE));
  fill_pattern(memory, 200 * kPage, 8);
  fill_pattern(memory + 200 * kPage, kSize - 200 * kPage, 9);
  pid_t children[kChildren];
  int indices[kChildren];
  for (int i = 0; i < kChildren; i++) {
    indices[i] = i;
    children[i] = spawn(child_body, &indices[i]);
    await_waiting_child(children[i]);
  }
  memory[50 * kPage] = 'P';
  long before = private_kib();
  CHECK(before < 100);

  workload_ready();

  // All but the few pages somebody wrote to since the fork.
  CHECK_RANGE(private_kib(), 0, before + 64);
  CHECK_RANGE(shared_kib(), (kPages - 20) * 4, kPages * 4);
  CHECK_EQ(memory[50 * kPage], 'P');
  for (int i = 0; i < kChildren; i++) finish_child(children[i]);
  check_pattern(memory + 200 * kPage, kSize - 200 * kPage, 9);
  check_pattern(memory, 50 * kPage, 8);
  return workload_ok();
}
