// Unix connections that come all the time and are accepted a moment later: each gets its answer.
#include <stdatomic.h>

#include "workload_sockets.h"

enum { kAtLeast = 3 };

static struct address address;
static int listener;
static atomic_bool finished;
static int asked;
static int answered;

static void rest(void) {
  struct timespec moment = timespec_of_ms(2);
  nanosleep(&moment, NULL);
}

static void* ask(void* unused) {
  (void)unused;
  while (!finished || asked < kAtLeast) {
    int server = connect_to(address, SOCK_STREAM);
    int number = asked++;
    CHECK_EQ(CHECK_SYS(write(server, &number, sizeof number)), sizeof number);
    int answer;
    CHECK_EQ(CHECK_SYS(read(server, &answer, sizeof answer)), sizeof answer);
    CHECK_EQ(answer, number + 1);
    close(server);
    rest();
  }
  close(connect_to(address, SOCK_STREAM));
  return NULL;
}

static void* serve(void* unused) {
  (void)unused;
  for (;;) {
    rest();
    int client = CHECK_SYS(accept(listener, NULL, NULL));
    int number;
    ssize_t got = CHECK_SYS(read(client, &number, sizeof number));
    if (got == 0) return NULL;
    CHECK_EQ(got, sizeof number);
    CHECK_EQ(number, answered++);
    CHECK_EQ(CHECK_SYS(write(client, &answered, sizeof answered)), sizeof answered);
    close(client);
  }
}

int main(void) {
  listener = open_socket(AF_UNIX, SOCK_STREAM);
  address = unix_path("listener");
  CHECK_SYS(bind(listener, &address.any, address.size));
  CHECK_SYS(listen(listener, 5));
  struct thread client, server;
  start_thread(&server, serve, NULL);
  start_thread(&client, ask, NULL);

  workload_ready();

  finished = true;
  join_thread(&client);
  join_thread(&server);
  CHECK_EQ(answered, asked);
  return workload_ok();
}
