// What the two ends of a connection negotiated goes on working: the clock of the timestamps does
// not go back, and with windows of another scale at each end, of none at one, large transfers run.
#include "workload_sockets.h"

enum { kWindow = 30000, kBytes = 4 << 20 };

// A server end whose window is too small to be scaled; the client's is not.
static struct pair connect_scaled(int family) {
  int listener = bind_loopback(family, SOCK_STREAM);
  set_option(listener, SOL_TCP, TCP_WINDOW_CLAMP, kWindow);
  CHECK_SYS(listen(listener, 1));
  struct pair pair = {.client = connect_to(local_address(listener), SOCK_STREAM)};
  pair.server = CHECK_SYS(accept(listener, NULL, NULL));
  close(listener);
  return pair;
}

// In milliseconds, give or take the kernel's choice of a start for the connection.
static uint32_t timestamp(int fd) {
  return get_option(fd, SOL_TCP, TCP_TIMESTAMP);
}

static char* pattern;

static void* sends(void* argument) {
  write_all(*(int*)argument, pattern, kBytes);
  return NULL;
}

static void transfer(int from, int to) {
  struct thread sender;
  start_thread(&sender, sends, &from);
  drain_socket(to, kBytes, 5);
  join_thread(&sender);
}

int main(void) {
  pattern = malloc(kBytes);
  fill_pattern(pattern, kBytes, 5);
  struct pair pairs[kFamilies];
  uint32_t stamps[kFamilies][2];
  struct tcp_info info[kFamilies][2];
  for (int i = 0; i < kFamilies; i++) {
    pairs[i] = connect_scaled(kFamily[i]);
    info[i][0] = tcp_state(pairs[i].client);
    info[i][1] = tcp_state(pairs[i].server);
    if (!(info[i][0].tcpi_options & TCPI_OPT_TIMESTAMPS)) workload_skip("no TCP timestamps");
    CHECK_EQ(info[i][1].tcpi_rcv_wscale, 0);
    CHECK(info[i][0].tcpi_rcv_wscale > 0);
    stamps[i][0] = timestamp(pairs[i].client);
    stamps[i][1] = timestamp(pairs[i].server);
  }
  int64_t started = now_ms(CLOCK_REALTIME);

  workload_ready();

  int64_t elapsed = now_ms(CLOCK_REALTIME) - started;
  for (int i = 0; i < kFamilies; i++) {
    workload_context(kFamilyName[i]);
    int ends[2] = {pairs[i].client, pairs[i].server};
    for (int end = 0; end < 2; end++) {
      CHECK_RANGE((int32_t)(timestamp(ends[end]) - stamps[i][end]), 0, elapsed + kSlackMs);
      struct tcp_info now = tcp_state(ends[end]);
      CHECK_EQ(now.tcpi_options, info[i][end].tcpi_options);
      CHECK_EQ(now.tcpi_snd_wscale, info[i][end].tcpi_snd_wscale);
      CHECK_EQ(now.tcpi_rcv_wscale, info[i][end].tcpi_rcv_wscale);
    }
    transfer(pairs[i].client, pairs[i].server);
    transfer(pairs[i].server, pairs[i].client);
    check_conversation(pairs[i]);
  }
  return workload_ok();
}
