// So many kernel objects of one kind: `scale_workload KIND COUNT [PORT]`. Writes "ready", waits for
// SIGUSR1, looks at each of them, and writes "ok".
#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHECK(condition) ((condition) ? (void)0 : fail(__LINE__, #condition))

enum { kPage = 4096, kDescriptorsOfOne = 15000, kOfOneFile = 10, kStack = 32 << 10 };

static sigset_t go;

static void fail(int line, const char* what) {
  fprintf(stderr, "scale_workload:%d: %s: %s\n", line, what, strerror(errno));
  exit(1);
}

static void wait_for_go(void) {
  int number;
  CHECK(sigwait(&go, &number) == 0);
}

static void ready(void) {
  CHECK(write(1, "ready\n", 6) == 6);
  wait_for_go();
}

static void allow_descriptors(void) {
  struct rlimit limit;
  CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
  limit.rlim_cur = limit.rlim_max;
  CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
}

// Children that run body(first, count), each of at most `share` objects.
static void in_children(int count, int share, void (*body)(int first, int count)) {
  int children = (count + share - 1) / share;
  pid_t* pids = calloc((size_t)children, sizeof *pids);
  int report[2];
  CHECK(pids && pipe(report) == 0);
  for (int i = 0; i < children; i++) {
    pids[i] = fork();
    CHECK(pids[i] >= 0);
    if (pids[i] == 0) {
      int own = count - i * share < share ? count - i * share : share;
      close(report[0]);
      dup2(report[1], 3);
      body(i * share, own);
      _exit(0);
    }
  }
  close(report[1]);
  char byte;
  for (int i = 0; i < children; i++) CHECK(read(report[0], &byte, 1) == 1);
  close(report[0]);
  ready();
  for (int i = 0; i < children; i++) {
    int status;
    CHECK(kill(pids[i], SIGUSR1) == 0);
    CHECK(waitpid(pids[i], &status, 0) == pids[i] && status == 0);
  }
}

static void report_ready(void) {
  CHECK(write(3, "", 1) == 1);
  close(3);
}

static void one_task(int first, int count) {
  (void)count;
  volatile int own = first;
  report_ready();
  wait_for_go();
  CHECK(own == first);
}

static void open_descriptors(int first, int count) {
  allow_descriptors();
  int* files = calloc((size_t)count, sizeof *files);
  for (int i = 0; i < count; i++) {
    files[i] =
        i % kOfOneFile ? dup(files[i - 1]) : eventfd((unsigned)(first + i + 1), EFD_NONBLOCK);
    CHECK(files[i] >= 0);
  }
  report_ready();
  wait_for_go();
  for (int i = kOfOneFile - 1; i < count; i += kOfOneFile) {
    uint64_t value = 0;
    CHECK(read(files[i], &value, sizeof value) == sizeof value);
    CHECK(value == (uint64_t)(first + i - kOfOneFile + 2));
  }
}

static int finish_threads;

static void* one_thread(void* argument) {
  uint64_t one;
  CHECK(read(finish_threads, &one, sizeof one) == sizeof one);
  return argument;
}

static void threads(int count) {
  finish_threads = eventfd(0, EFD_SEMAPHORE);
  pthread_t* all = calloc((size_t)count, sizeof *all);
  char* marks = calloc((size_t)count, 1);
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, kStack);
  for (int i = 0; i < count; i++)
    CHECK(pthread_create(&all[i], &attributes, one_thread, &marks[i]) == 0);
  ready();
  uint64_t everyone = (uint64_t)count;
  CHECK(write(finish_threads, &everyone, sizeof everyone) == sizeof everyone);
  for (int i = 0; i < count; i++) {
    void* result;
    CHECK(pthread_join(all[i], &result) == 0 && result == &marks[i]);
  }
}

// Neighbours differ in their protection, so that none is merged with another.
static void mappings(int count) {
  size_t size = (size_t)count * kPage;
  char* memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(memory != MAP_FAILED);
  for (int i = 0; i < count; i++) memcpy(memory + (size_t)i * kPage, &i, sizeof i);
  for (int i = 0; i < count; i += 2)
    CHECK(mprotect(memory + (size_t)i * kPage, kPage, PROT_READ) == 0);
  ready();
  for (int i = 0; i < count; i++) CHECK(memcmp(memory + (size_t)i * kPage, &i, sizeof i) == 0);
}

static void memory(int mebibytes) {
  size_t words = (size_t)mebibytes << 17;
  uint64_t* all = malloc(words * sizeof *all);
  CHECK(all);
  for (size_t i = 0; i < words; i++) all[i] = i * 0x9e3779b97f4a7c15u;
  ready();
  for (size_t i = 0; i < words; i++) CHECK(all[i] == i * 0x9e3779b97f4a7c15u);
}

static struct sockaddr_in loopback(int port) {
  return (struct sockaddr_in){.sin_family = AF_INET,
                              .sin_port = htons((uint16_t)port),
                              .sin_addr = {htonl(INADDR_LOOPBACK)}};
}

static void connections(int count, int port) {
  allow_descriptors();
  int* sockets = calloc((size_t)count, sizeof *sockets);
  struct sockaddr_in peer = loopback(port);
  for (int i = 0; i < count; i++) {
    sockets[i] = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(sockets[i] >= 0 && connect(sockets[i], (struct sockaddr*)&peer, sizeof peer) == 0);
    char accepted;
    CHECK(read(sockets[i], &accepted, 1) == 1);
  }
  ready();
  for (int i = 0; i < count; i++) CHECK(write(sockets[i], &i, sizeof i) == sizeof i);
  for (int i = 0; i < count; i++) {
    int back;
    CHECK(read(sockets[i], &back, sizeof back) == sizeof back && back == i);
  }
}

// The other ends of connections(), outside of what is captured. Writes its port. Greets each, so
// that no connection waits to be accepted.
static void peer(int count) {
  allow_descriptors();
  int* sockets = calloc((size_t)count, sizeof *sockets);
  int listener = socket(AF_INET, SOCK_STREAM, 0);
  struct sockaddr_in own = loopback(0);
  socklen_t size = sizeof own;
  CHECK(bind(listener, (struct sockaddr*)&own, size) == 0 && listen(listener, 128) == 0);
  CHECK(getsockname(listener, (struct sockaddr*)&own, &size) == 0);
  printf("%d\n", ntohs(own.sin_port));
  fflush(stdout);
  for (int i = 0; i < count; i++) {
    CHECK((sockets[i] = accept(listener, NULL, NULL)) >= 0);
    CHECK(write(sockets[i], "", 1) == 1);
  }
  for (int i = 0; i < count; i++) {
    int value;
    CHECK(read(sockets[i], &value, sizeof value) == sizeof value);
    CHECK(write(sockets[i], &value, sizeof value) == sizeof value);
  }
}

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  const char* kind = argv[1];
  int count = atoi(argv[2]);
  sigemptyset(&go);
  sigaddset(&go, SIGUSR1);
  CHECK(sigprocmask(SIG_BLOCK, &go, NULL) == 0);
  if (strcmp(kind, "peer") == 0) {
    peer(count);
    return 0;
  }
  if (strcmp(kind, "tasks") == 0) in_children(count, 1, one_task);
  if (strcmp(kind, "threads") == 0) threads(count);
  if (strcmp(kind, "descriptors") == 0) in_children(count, kDescriptorsOfOne, open_descriptors);
  if (strcmp(kind, "mappings") == 0) mappings(count);
  if (strcmp(kind, "memory") == 0) memory(count);
  if (strcmp(kind, "connections") == 0) connections(count, atoi(argv[3]));
  CHECK(write(1, "ok\n", 3) == 3);
  return 0;
}
