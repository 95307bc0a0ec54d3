// Files in a tmpfs that change in every way while they are captured: they grow, are written over,
// cut, emptied in the middle, renamed, replaced, linked and removed, and one is written to through
// a mapping. Memory of the program's own tells what each must hold.
// modes: container
#include <dirent.h>

#include "workload.h"

enum { kFiles = 12, kMost = 1 << 20, kMapped = 512 * 1024, kMostBytes = 9000 };

struct file {
  uint32_t name;  // 0: there is none
  uint32_t link;  // its second name, or 0
  size_t size;
  unsigned char* bytes;  // zeros behind the size
};

static struct file* files;
static unsigned char* mapped;  // the first file
static uint32_t next_name;
static volatile int stop;

static const char* path_of(uint32_t name) {
  static char path[32];
  snprintf(path, sizeof path, "file-%u", name);
  return path;
}

static int open_named(uint32_t name, int flags) {
  return CHECK_SYS(open(path_of(name), flags | O_CLOEXEC, 0600));
}

static size_t place_in(size_t size) {
  return size == 0 ? 0 : draw((uint32_t)size);
}

static size_t length_before(size_t at, size_t end) {
  size_t length = 1 + draw(kMostBytes);
  return at + length > end ? end - at : length;
}

static void change_bytes(struct file* file, size_t at, size_t length) {
  for (size_t i = at; i < at + length; i += 1) file->bytes[i] = (unsigned char)draw(256);
  if (at + length > file->size) file->size = at + length;
}

static void write_bytes(struct file* file, size_t at, size_t end) {
  size_t length = length_before(at, end);
  change_bytes(file, at, length);
  int fd = open_named(file->name, O_WRONLY);
  CHECK_EQ(pwrite(fd, file->bytes + at, length, (off_t)at), (long long)length);
  close(fd);
}

static void cut(struct file* file, size_t size) {
  if (size < file->size) memset(file->bytes + size, 0, file->size - size);
  file->size = size;
  CHECK_SYS(truncate(path_of(file->name), (off_t)size));
}

static void punch(struct file* file) {
  size_t at = place_in(file->size);
  size_t length = 16 * length_before(at, file->size);
  if (length > file->size - at) length = file->size - at;
  if (length == 0) return;
  memset(file->bytes + at, 0, length);
  int fd = open_named(file->name, O_WRONLY);
  CHECK_SYS(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)at, (off_t)length));
  close(fd);
}

static void make(struct file* file) {
  memset(file->bytes, 0, kMost);
  file->size = 0;
  file->link = 0;
  file->name = ++next_name;
  close(open_named(file->name, O_CREAT | O_EXCL | O_WRONLY));
  for (size_t filled = draw(kMost / 2); file->size < filled;) write_bytes(file, file->size, kMost);
}

static void drop(struct file* file) {
  CHECK_SYS(unlink(path_of(file->name)));
  if (file->link != 0) CHECK_SYS(unlink(path_of(file->link)));
}

static void move_to(struct file* file, uint32_t name) {
  char from[32];
  strcpy(from, path_of(file->name));
  CHECK_SYS(rename(from, path_of(name)));
  file->name = name;
}

// In place of another, which is made anew.
static void replace(struct file* file, struct file* other) {
  if (file == other) return;
  uint32_t name = other->name;
  if (other->link != 0) CHECK_SYS(unlink(path_of(other->link)));
  move_to(file, name);
  make(other);
}

static void add_link(struct file* file) {
  if (file->link != 0) {
    CHECK_SYS(unlink(path_of(file->name)));
    file->name = file->link;
    file->link = 0;
    return;
  }
  char from[32];
  strcpy(from, path_of(file->name));
  file->link = ++next_name;
  CHECK_SYS(link(from, path_of(file->link)));
}

static void write_to_mapping(void) {
  size_t at = draw(kMapped);
  size_t length = length_before(at, kMapped);
  change_bytes(&files[0], at, length);
  memcpy(mapped + at, files[0].bytes + at, length);
}

static void change_something(void) {
  struct file* file = &files[1 + draw(kFiles - 1)];
  switch (draw(40)) {
    case 0: drop(file), make(file); break;
    case 1: replace(file, &files[1 + draw(kFiles - 1)]); break;
    case 2:
    case 3: cut(file, draw(kMost)); break;
    case 4:
    case 5: punch(file); break;
    case 6:
    case 7: move_to(file, ++next_name); break;
    case 8:
    case 9: add_link(file); break;
    case 10:
    case 11:
    case 12:
    case 13: write_to_mapping(); break;
    case 14: write_bytes(&files[0], draw(kMapped), kMapped); break;
    case 15:
    case 16:
    case 17:
    case 18:
    case 19:
    case 20:
      if (file->size < kMost) write_bytes(file, file->size, kMost);
      break;
    default: write_bytes(file, place_in(file->size), kMost); break;
  }
}

// Slower and slower: on a busy host rounds take so long that they would not converge.
static void* churn(void* unused) {
  for (struct timespec pause = {0, 500 * 1000}; !stop; pause.tv_nsec += 1000) {
    change_something();
    nanosleep(&pause, NULL);
  }
  return unused;
}

static ino_t check_name(const struct file* file, uint32_t name, nlink_t links) {
  static unsigned char bytes[kMost];
  int fd = open_named(name, O_RDONLY);
  struct stat status;
  CHECK_SYS(fstat(fd, &status));
  CHECK_EQ(status.st_size, (long long)file->size);
  CHECK_EQ(status.st_nlink, links);
  read_all(fd, bytes, file->size);
  for (size_t i = 0; i < file->size; i += 1)
    if (bytes[i] != file->bytes[i]) {
      workload_context(path_of(name));
      CHECK_EQ(i, file->size);  // the first wrong byte
    }
  close(fd);
  return status.st_ino;
}

static void check_all(void) {
  int names = 0;
  for (struct file* file = files; file < files + kFiles; file += 1) {
    ino_t inode = check_name(file, file->name, file->link != 0 ? 2 : 1);
    names += file->link != 0 ? 2 : 1;
    if (file->link != 0) CHECK_EQ(check_name(file, file->link, 2), inode);
  }
  DIR* directory = opendir(".");
  CHECK(directory != NULL);
  for (const struct dirent* entry; (entry = readdir(directory)) != NULL;)
    if (entry->d_name[0] != '.') names -= 1;
  closedir(directory);
  CHECK_EQ(names, 0);
  CHECK(memcmp(mapped, files[0].bytes, kMapped) == 0);
}

int main(void) {
  seed_random();
  const char* directory = make_tmpfs_directory();
  CHECK_SYS(chdir(directory));
  files = map_memory(sizeof *files * kFiles, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
  for (int i = 0; i < kFiles; i += 1) {
    files[i].bytes = map_memory(kMost, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
    make(&files[i]);
  }
  cut(&files[0], kMapped);
  int fd = open_named(files[0].name, O_RDWR);
  mapped = mmap(NULL, kMapped, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  CHECK(mapped != MAP_FAILED);
  close(fd);
  for (int i = 0; i < 300; i += 1) change_something();
  check_all();
  ready_beside(churn, &stop);
  check_all();
  for (int i = 0; i < 100; i += 1) change_something();
  check_all();
  for (int i = 0; i < kFiles; i += 1) drop(&files[i]);
  CHECK_SYS(rmdir(directory));
  return workload_ok();
}
