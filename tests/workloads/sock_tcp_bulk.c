// A transfer of many megabytes that is under way when the program is captured, in both directions
// at once, with windows larger than 64 KiB.
#include "workload_sockets.h"

enum { kTotal = 96 << 20, kPause = 8 << 20, kBlock = 64 << 10 };

struct stream {
  int fd;
  uint64_t seed;
  struct thread thread;
};

static pthread_barrier_t release;

// The pattern starts anew with each block.
static void* sends(void* argument) {
  struct stream* stream = argument;
  char* block = malloc(kBlock);
  for (size_t sent = 0; sent < kTotal; sent += kBlock) {
    fill_pattern(block, kBlock, stream->seed + sent);
    write_all(stream->fd, block, kBlock);
  }
  free(block);
  return NULL;
}

static void* receives(void* argument) {
  struct stream* stream = argument;
  char* block = malloc(kBlock);
  for (size_t taken = 0; taken < kTotal; taken += kBlock) {
    // Halts until the release, so that the transfer is under way when the program is captured.
    if (taken == kPause) pthread_barrier_wait(&release);
    read_all(stream->fd, block, kBlock);
    check_pattern(block, kBlock, stream->seed + taken);
  }
  free(block);
  return NULL;
}

int main(void) {
  static struct stream senders[4];
  static struct stream receivers[4];
  CHECK_EQ(pthread_barrier_init(&release, NULL, 5), 0);
  for (int i = 0; i < kFamilies; i++) {
    struct pair pair = connect_tcp(kFamily[i]);
    senders[2 * i] = (struct stream){.fd = pair.client, .seed = 2 * i};
    receivers[2 * i] = (struct stream){.fd = pair.server, .seed = 2 * i};
    senders[2 * i + 1] = (struct stream){.fd = pair.server, .seed = 2 * i + 1};
    receivers[2 * i + 1] = (struct stream){.fd = pair.client, .seed = 2 * i + 1};
  }
  for (int i = 0; i < 4; i++) {
    start_thread(&senders[i].thread, sends, &senders[i]);
    start_thread(&receivers[i].thread, receives, &receivers[i]);
  }
  for (int i = 0; i < 4; i++) await_blocked(receivers[i].thread.tid, SYS_futex);

  workload_ready();

  pthread_barrier_wait(&release);
  for (int i = 0; i < 4; i++) {
    workload_context(kFamilyName[i / 2]);
    join_thread(&senders[i].thread);
    join_thread(&receivers[i].thread);
  }
  return workload_ok();
}
