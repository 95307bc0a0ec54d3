// Private anonymous memory full of data, with untouched, zero and rewritten pages in between.
#include "workload.h"

enum { kPage = 4096, kPages = 3 * 4096, kSize = kPages * kPage };

int main(void) {
  char* dense = map_memory(kSize, PROT_READ | PROT_WRITE, MAP_PRIVATE);
  fill_pattern(dense, kSize, 1);
  // Every third page is written, the next is only read, the third untouched.
  char* sparse = map_memory(kSize, PROT_READ | PROT_WRITE, MAP_PRIVATE);
  for (size_t page = 0; page < kPages; page += 3) {
    fill_pattern(sparse + page * kPage, kPage, page);
    CHECK_EQ(*(volatile char*)(sparse + (page + 1) % kPages * kPage), 0);
  }
  char* heap = malloc(3 << 20);
  fill_pattern(heap, 3 << 20, 2);

  workload_ready();

  check_pattern(dense, kSize, 1);
  check_pattern(heap, 3 << 20, 2);
  static const char kZeroes[kPage];
  for (size_t page = 0; page < kPages; page++) {
    if (page % 3 == 0) {
      check_pattern(sparse + page * kPage, kPage, page);
    } else {
      CHECK_EQ(memcmp(sparse + page * kPage, kZeroes, kPage), 0);
    }
  }
  fill_pattern(dense, kSize, 3);
  check_pattern(dense, kSize, 3);
  free(heap);
  return workload_ok();
}
