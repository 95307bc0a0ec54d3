// Neighbours that the kernel tells apart or not: the middle one of three areas that lie side by
// side is made anew all the time, at one time alike with the others and at another not. Each area
// is half memory and half reserve, as the arenas of an allocator are, and keeps what it holds and
// how it may be used.
#include "workload.h"

enum { kPlaces = 24, kAreas = 3, kMiddle = 1, kPage = kVersionedPage };
enum { kUsed = 4 * kPage, kArea = 8 * kPage };

static unsigned char* places[kPlaces];
static volatile int stop;

static unsigned char* area_of(int place, int area) {
  return places[place] + area * kArea;
}

static uint32_t version_of(int place, int area) {
  return (uint32_t)(place * kAreas + area + 1);
}

static void make_area(int place, int area, int kind) {
  unsigned char* at = area_of(place, area);
  CHECK(mmap(at, kArea, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | kind, -1, 0) == at);
  CHECK_SYS(mprotect(at, kUsed, PROT_READ | PROT_WRITE));
  fill_version(at, version_of(place, area));
}

static void check_place(int place) {
  for (int area = 0; area < kAreas; area += 1) {
    check_version(area_of(place, area), version_of(place, area));
    area_of(place, area)[kUsed - 1] += 1;
  }
}

static void* change(void* unused) {
  while (!stop) {
    int place = (int)draw(kPlaces);
    make_area(place, kMiddle, draw(2) == 0 ? 0 : MAP_NORESERVE);
    check_place(place);
    sched_yield();
  }
  return unused;
}

int main(void) {
  seed_random();
  for (int place = 0; place < kPlaces; place += 1) {
    // Apart from the next place, which is not to be joined with this one.
    places[place] = map_memory((kAreas + 1) * kArea, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS);
    CHECK_SYS(munmap(places[place] + kAreas * kArea, kArea));
    for (int area = 0; area < kAreas; area += 1) make_area(place, area, MAP_NORESERVE);
  }
  ready_beside(change, &stop);
  for (int place = 0; place < kPlaces; place += 1) check_place(place);
  return workload_ok();
}
