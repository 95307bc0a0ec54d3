// Threads that wait for data or room: read and write on pipes, accept, recv, recvmsg, send on
// sockets, open of a FIFO, read on an eventfd.
#include <netinet/in.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "workload.h"

static int pipe_in[2];
static int pipe_out[2];
static int listener;
static int pair[2];
static int full_pair[2];
static int event;
static char block[64 << 10];

static void* reads_pipe(void* argument) {
  char text[6] = {0};
  CHECK_EQ(CHECK_SYS(read(pipe_in[0], text, 5)), 5);
  CHECK_STR(text, "hello");
  return argument;
}

static void* writes_pipe(void* argument) {
  CHECK_EQ(CHECK_SYS(write(pipe_out[1], block, sizeof block)), sizeof block);
  return argument;
}

static void* accepts(void* argument) {
  int connection = CHECK_SYS(accept(listener, NULL, NULL));
  expect_text(connection, "knock");
  close(connection);
  return argument;
}

static void* receives(void* argument) {
  char text[8] = {0};
  CHECK_EQ(CHECK_SYS(recv(pair[0], text, 7, MSG_WAITALL)), 7);
  CHECK_STR(text, "message");
  return argument;
}

static void* sends(void* argument) {
  CHECK_EQ(CHECK_SYS(send(full_pair[0], "last", 4, 0)), 4);
  return argument;
}

static void* opens_fifo(void* argument) {
  int fd = CHECK_SYS(open("fifo", O_RDONLY));
  expect_text(fd, "fifo");
  return argument;
}

static void* reads_event(void* argument) {
  eventfd_t value;
  CHECK_SYS(eventfd_read(event, &value));
  CHECK_EQ(value, 3);
  return argument;
}

static struct sockaddr_in listen_on_loopback(void) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof address;
  listener = CHECK_SYS(socket(AF_INET, SOCK_STREAM, 0));
  CHECK_SYS(bind(listener, (struct sockaddr*)&address, sizeof address));
  CHECK_SYS(listen(listener, 5));
  CHECK_SYS(getsockname(listener, (struct sockaddr*)&address, &size));
  return address;
}

int main(void) {
  CHECK_SYS(pipe(pipe_in));
  CHECK_SYS(pipe(pipe_out));
  write_all(pipe_out[1], block, sizeof block);  // which fills it
  CHECK_SYS(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
  CHECK_SYS(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, full_pair));
  int queued = 0;
  while (send(full_pair[0], "packet", 6, MSG_DONTWAIT) == 6) queued++;
  CHECK_SYS(mkfifo("fifo", 0600));
  event = CHECK_SYS(eventfd(0, 0));
  struct sockaddr_in address = listen_on_loopback();
  struct {
    void* (*body)(void*);
    long number;
    struct thread thread;
  } threads[] = {
      {.body = reads_pipe, .number = SYS_read},  {.body = writes_pipe, .number = SYS_write},
      {.body = accepts, .number = SYS_accept},   {.body = receives, .number = SYS_recvfrom},
      {.body = sends, .number = SYS_sendto},     {.body = opens_fifo, .number = SYS_openat},
      {.body = reads_event, .number = SYS_read},
  };
  enum { kCount = sizeof threads / sizeof *threads };
  for (int i = 0; i < kCount; i++) {
    start_thread(&threads[i].thread, threads[i].body, NULL);
    await_blocked(threads[i].thread.tid, threads[i].number);
  }

  workload_ready();

  write_all(pipe_in[1], "hello", 5);
  read_all(pipe_out[0], block, sizeof block);
  int client = CHECK_SYS(socket(AF_INET, SOCK_STREAM, 0));
  CHECK_SYS(connect(client, (struct sockaddr*)&address, sizeof address));
  write_all(client, "knock", 5);
  write_all(pair[1], "message", 7);
  for (int i = 0; i < queued; i++) {
    char packet[8];
    CHECK_EQ(CHECK_SYS(recv(full_pair[1], packet, sizeof packet, 0)), 6);
  }
  int fifo = CHECK_SYS(open("fifo", O_WRONLY));
  write_all(fifo, "fifo", 4);
  CHECK_SYS(eventfd_write(event, 3));
  for (int i = 0; i < kCount; i++) join_thread(&threads[i].thread);
  return workload_ok();
}
