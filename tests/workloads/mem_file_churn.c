// Private mappings of files that change in every way while they are captured: pages are written,
// cleared, and given back for what the file holds; mappings move, are protected, and are shared
// with children that check and change their copies; files are replaced. Every page tells from its
// content what it must hold.
#include "workload.h"

enum { kPages = 64, kPage = kVersionedPage, kSize = kPages * kPage, kFiles = 4, kLasting = 3 };
enum { kZero = 0, kOfFile = 1 };  // versions; others are content of the process's own

struct mapping {
  char path[64];
  uint32_t file;  // which content it has
  unsigned char* memory;
  uint32_t version[kPages];
};

static struct mapping* mappings;
static uint32_t next_content = kOfFile;
static volatile int stop;

// Of each page of a file, or of the process, another one.
static uint32_t version_of(uint32_t content, int page) {
  return content * kPages + (uint32_t)page;
}

static unsigned char* page_of(const struct mapping* mapping, int page) {
  return mapping->memory + (size_t)page * kPage;
}

static void check_page(const struct mapping* mapping, int page) {
  uint32_t version = mapping->version[page];
  uint32_t content = version == kOfFile ? mapping->file : version;
  check_version(page_of(mapping, page), version == kZero ? 0 : version_of(content, page));
}

static void hold_what_the_file_holds(struct mapping* mapping, int first, int count) {
  for (int page = first; page < first + count; page += 1) mapping->version[page] = kOfFile;
}

static void map_file(struct mapping* mapping) {
  int fd = CHECK_SYS(open(mapping->path, O_RDONLY));
  mapping->memory = mmap(NULL, kSize, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
  CHECK(mapping->memory != MAP_FAILED);
  close(fd);
  hold_what_the_file_holds(mapping, 0, kPages);
}

static void put_file(struct mapping* mapping) {
  char fresh[80];
  snprintf(fresh, sizeof fresh, "%s.new", mapping->path);
  int fd = CHECK_SYS(open(fresh, O_CREAT | O_TRUNC | O_WRONLY, 0600));
  mapping->file = ++next_content;
  for (int page = 0; page < kPages; page += 1) {
    uint64_t block[kPage / 8];
    fill_version(block, version_of(mapping->file, page));
    write_all(fd, block, kPage);
  }
  close(fd);
  CHECK_SYS(rename(fresh, mapping->path));
}

static void replace_file(struct mapping* mapping) {
  CHECK_SYS(munmap(mapping->memory, kSize));
  put_file(mapping);
  map_file(mapping);
}

static void move_mapping(struct mapping* mapping) {
  void* place = map_memory(kSize, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS);
  CHECK(mremap(mapping->memory, kSize, kSize, MREMAP_MAYMOVE | MREMAP_FIXED, place) == place);
  mapping->memory = place;
}

static void give_back(struct mapping* mapping, int first, int count) {
  CHECK_SYS(madvise(page_of(mapping, first), (size_t)count * kPage, MADV_DONTNEED));
  hold_what_the_file_holds(mapping, first, count);
}

static void check_all(void) {
  for (int i = 0; i < kFiles; i += 1)
    for (int page = 0; page < kPages; page += 1) check_page(&mappings[i], page);
}

static void write_page(struct mapping* mapping, int page) {
  mapping->version[page] = ++next_content;
  fill_version(page_of(mapping, page), version_of(next_content, page));
}

static void change_something(int may_replace) {
  struct mapping* mapping = &mappings[draw(kFiles)];
  int page = (int)draw(kPages);
  switch (draw(200)) {
    case 0:
      if (may_replace && mapping >= &mappings[kLasting]) replace_file(mapping);
      break;
    case 1:
    case 2: move_mapping(mapping); break;
    case 3:
    case 4:
    case 5:
    case 6: give_back(mapping, page, 1 + (int)draw((uint32_t)(kPages - page))); break;
    case 7:
    case 8:
      memset(page_of(mapping, page), 0, kPage);
      mapping->version[page] = kZero;
      break;
    case 9:
      CHECK_SYS(mprotect(mapping->memory, kSize, PROT_READ));
      check_page(mapping, page);
      CHECK_SYS(mprotect(mapping->memory, kSize, PROT_READ | PROT_WRITE));
      break;
    default: write_page(mapping, page); break;
  }
}

// Has a copy of everything, and files of its own to replace are none.
static void child_body(void* unused) {
  (void)unused;
  vary_random();
  for (int i = 0; i < 200; i += 1) change_something(0);
  wait_for_go();
  check_all();
}

static void* churn(void* unused) {
  // Slow enough for pages to stay as they are from one round to the next.
  struct timespec pause = {0, 200 * 1000};
  while (!stop) {
    change_something(1);
    nanosleep(&pause, NULL);
  }
  check_all();
  return unused;
}

int main(void) {
  seed_random();
  mappings =
      map_memory(sizeof *mappings * kFiles, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
  for (int i = 0; i < kFiles; i += 1) {
    snprintf(mappings[i].path, sizeof mappings[i].path, "churn-%d", i);
    put_file(&mappings[i]);
    map_file(&mappings[i]);
  }
  for (int i = 0; i < 1000; i += 1) change_something(1);
  pid_t child = spawn(child_body, NULL);
  await_waiting_child(child);
  ready_beside(churn, &stop);
  check_all();
  finish_child(child);
  return workload_ok();
}
