// Memory locked with mlock, mlock2(ONFAULT) and the limit on it.
#include "workload.h"

enum { kPage = 4096, kSize = 8 * kPage };

static long locked_kib(void) {
  return strtol(status_field(getpid(), "VmLck"), NULL, 10);
}

static bool is_locked(const void* memory) {
  return strstr(smaps_field(memory, "VmFlags:"), " lo") != NULL;
}

int main(void) {
  char* locked = map_memory(kSize, PROT_READ | PROT_WRITE, MAP_PRIVATE);
  char* on_fault = map_memory(kSize, PROT_READ | PROT_WRITE, MAP_PRIVATE);
  char* plain = map_memory(kSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE);
  fill_pattern(locked, kSize, 1);
  CHECK_SYS(mlock(locked, kSize));
  CHECK_SYS(mlock2(on_fault, kSize, MLOCK_ONFAULT));
  on_fault[0] = 'f';
  long before = locked_kib();
  CHECK_EQ(before, 2 * kSize / 1024);

  workload_ready();

  CHECK_EQ(locked_kib(), before);
  CHECK(is_locked(locked));
  CHECK(is_locked(on_fault));
  CHECK(!is_locked(plain));
  check_pattern(locked, kSize, 1);
  CHECK_EQ(on_fault[0], 'f');
  CHECK_SYS(munlock(locked, kSize));
  CHECK_EQ(locked_kib(), before / 2);
  return workload_ok();
}
