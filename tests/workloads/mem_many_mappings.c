// Two thousand mappings with gaps and different protections between them.
#include "workload.h"

enum { kMappings = 2000, kPage = 4096 };

static int protection_of(int index) {
  static const int kProtections[] = {PROT_READ | PROT_WRITE, PROT_READ, PROT_READ | PROT_EXEC};
  return kProtections[index % 3];
}

int main(void) {
  char* area = map_memory((size_t)kMappings * 2 * kPage, PROT_NONE, MAP_PRIVATE);
  for (int i = 0; i < kMappings; i++) {
    char* page = area + (size_t)i * 2 * kPage;
    CHECK_SYS(mprotect(page, kPage, PROT_READ | PROT_WRITE));
    memcpy(page, &i, sizeof i);
    CHECK_SYS(mprotect(page, kPage, protection_of(i)));
    if (i % 2) CHECK_SYS(munmap(page + kPage, kPage));
  }

  workload_ready();

  for (int i = 0; i < kMappings; i++) {
    char* page = area + (size_t)i * 2 * kPage;
    int value;
    memcpy(&value, page, sizeof value);
    CHECK_EQ(value, i);
    if (i % 2) {
      CHECK_ERRNO(msync(page + kPage, kPage, MS_ASYNC), ENOMEM);
    } else {
      CHECK_SYS(msync(page + kPage, kPage, MS_ASYNC));
    }
    if (protection_of(i) & PROT_WRITE) page[100] = 1;
  }
  return workload_ok();
}
