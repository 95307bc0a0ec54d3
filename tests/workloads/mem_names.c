// Names given to anonymous mappings with PR_SET_VMA_ANON_NAME.
#include <sys/prctl.h>

#include "workload.h"

#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#define PR_SET_VMA_ANON_NAME 0
#endif

enum { kPage = 4096 };

int main(void) {
  char* memory = map_memory(16 * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE);
  if (prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, memory, 4 * kPage, "buffer pool") != 0) {
    workload_skip("the kernel has no names for anonymous mappings");
  }
  CHECK_SYS(prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, memory + 8 * kPage, kPage, "index"));
  memory[0] = 'b';

  workload_ready();

  const char* maps = read_small_file("/proc/self/maps");
  CHECK(strstr(maps, "[anon:buffer pool]") != NULL);
  CHECK(strstr(maps, "[anon:index]") != NULL);
  char line[64];
  snprintf(line, sizeof line, "%lx-%lx rw-p", (unsigned long)memory,
           (unsigned long)memory + 4 * kPage);
  CHECK(strstr(maps, line) != NULL);
  CHECK_EQ(memory[0], 'b');
  return workload_ok();
}
