// modes: container
// Files that are made, one after the other, in directories that nobody has written to before,
// beside files that the program has mapped and has pages of its own of. Whoever rebuilds these
// mappings must not see the directories as they were.
#include <glob.h>

#include "workload.h"

enum { kMost = 400, kPathSize = 512, kPage = 4096 };

static char directories[kMost][kPathSize];
static unsigned char* pages[kMost];
static int found, made;
static volatile int stop;

static void path_of(int number, char path[kPathSize + 16]) {
  snprintf(path, kPathSize + 16, "%s/beside", directories[number]);
}

// Those of the distribution's documentation, of which every package has one.
static void map_file(const char* path) {
  struct stat status;
  if (found == kMost || strlen(path) >= kPathSize) return;
  snprintf(directories[found], kPathSize, "%s", path);
  *strrchr(directories[found], '/') = '\0';
  if (lstat(directories[found], &status) != 0 || !S_ISDIR(status.st_mode)) return;  // a link
  if (lstat(path, &status) != 0 || !S_ISREG(status.st_mode) || status.st_size == 0) return;
  int fd = CHECK_SYS(open(path, O_RDONLY));
  pages[found] = mmap(NULL, kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
  CHECK(pages[found] != MAP_FAILED);
  close(fd);
  pages[found][0] = (unsigned char)found;
  found += 1;
}

static void* make_files(void* unused) {
  struct timespec pause = {0, 10 * 1000 * 1000};
  while (!stop && made < found) {
    char path[kPathSize + 16];
    path_of(made, path);
    int fd = CHECK_SYS(open(path, O_CREAT | O_EXCL | O_WRONLY, 0600));
    write_all(fd, &made, sizeof made);
    close(fd);
    made += 1;
    nanosleep(&pause, NULL);
  }
  return unused;
}

static void check(int number) {
  char path[kPathSize + 16];
  path_of(number, path);
  CHECK_EQ(pages[number][0], (unsigned char)number);
  workload_context(path);
  int expected = number < made ? number : -1, content = -1;
  int fd = open(path, O_RDONLY);
  CHECK_EQ(fd >= 0, number < made);
  if (fd >= 0) CHECK_EQ(read(fd, &content, sizeof content), sizeof content);
  CHECK_EQ(content, expected);
  close(fd);
}

// Where the runner lets a container's program begin.
static void need_own_files(void) {
  char here[kPathSize];
  if (getcwd(here, sizeof here) == NULL || strcmp(here, "/tmp/workload") != 0)
    workload_skip("these directories are the host's");
}

int main(void) {
  need_own_files();
  glob_t files;
  CHECK_EQ(glob("/usr/share/doc/*/copyright", 0, NULL, &files), 0);
  for (size_t i = 0; i < files.gl_pathc; i += 1) map_file(files.gl_pathv[i]);
  globfree(&files);
  ready_beside(make_files, &stop);
  for (int i = 0; i < found; i += 1) check(i);
  return workload_ok();
}
