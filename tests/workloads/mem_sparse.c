// A huge reservation of which few pages exist: it stays a reservation.
#include "workload.h"

#define SIZE (64ULL << 30)
#define STEP (3ULL << 30)

static unsigned long resident_kib(const void* address) {
  return strtoul(smaps_field(address, "Rss:"), NULL, 10);
}

int main(void) {
  char* memory = map_memory(SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE);
  CHECK_SYS(madvise(memory, SIZE, MADV_NOHUGEPAGE));
  for (uint64_t at = 0; at < SIZE; at += STEP) memory[at] = 1 + at / STEP;
  memory[SIZE - 1] = 99;
  unsigned long before = resident_kib(memory);

  workload_ready();

  CHECK_EQ(resident_kib(memory), before);
  CHECK(strstr(smaps_field(memory, "VmFlags:"), " nr") != NULL);
  for (uint64_t at = 0; at < SIZE; at += STEP) CHECK_EQ(memory[at], 1 + at / STEP);
  CHECK_EQ(memory[SIZE - 1], 99);
  CHECK_EQ(memory[STEP / 2], 0);
  return workload_ok();
}
