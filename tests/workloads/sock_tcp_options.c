// Options of TCP sockets: what was set, and what the two ends negotiated.
#include "workload_sockets.h"

static const struct option {
  int level;
  int name;
  int value;
  const char* text;
} kOptions[] = {
    {SOL_SOCKET, SO_KEEPALIVE, 1, "SO_KEEPALIVE"},
    {SOL_SOCKET, SO_REUSEADDR, 1, "SO_REUSEADDR"},
    {SOL_SOCKET, SO_OOBINLINE, 1, "SO_OOBINLINE"},
    {SOL_SOCKET, SO_RCVLOWAT, 1, "SO_RCVLOWAT"},
    {SOL_SOCKET, SO_PRIORITY, 4, "SO_PRIORITY"},
    {SOL_SOCKET, SO_SNDBUF, 60000, "SO_SNDBUF"},
    {SOL_SOCKET, SO_RCVBUF, 70000, "SO_RCVBUF"},
    {SOL_TCP, TCP_NODELAY, 1, "TCP_NODELAY"},
    {SOL_TCP, TCP_KEEPIDLE, 111, "TCP_KEEPIDLE"},
    {SOL_TCP, TCP_KEEPINTVL, 22, "TCP_KEEPINTVL"},
    {SOL_TCP, TCP_KEEPCNT, 7, "TCP_KEEPCNT"},
    {SOL_TCP, TCP_USER_TIMEOUT, 33333, "TCP_USER_TIMEOUT"},
    {SOL_TCP, TCP_NOTSENT_LOWAT, 12345, "TCP_NOTSENT_LOWAT"},
    {SOL_TCP, TCP_LINGER2, 15, "TCP_LINGER2"},
    {SOL_TCP, TCP_SYNCNT, 3, "TCP_SYNCNT"},
    {SOL_IP, IP_TOS, 0x10, "IP_TOS"},
    {SOL_IP, IP_TTL, 77, "IP_TTL"},
};
enum { kCount = sizeof kOptions / sizeof *kOptions };

struct observed {
  int values[kCount];
  char congestion[16];
  struct linger linger;
  int flags;
};

static void observe(int fd, struct observed* now) {
  memset(now, 0, sizeof *now);
  for (int i = 0; i < kCount; i++) {
    now->values[i] = get_option(fd, kOptions[i].level, kOptions[i].name);
  }
  socklen_t size = sizeof now->congestion;
  CHECK_SYS(getsockopt(fd, SOL_TCP, TCP_CONGESTION, now->congestion, &size));
  size = sizeof now->linger;
  CHECK_SYS(getsockopt(fd, SOL_SOCKET, SO_LINGER, &now->linger, &size));
}

static void check_same(int fd, const struct observed* was) {
  struct observed now;
  observe(fd, &now);
  for (int i = 0; i < kCount; i++) {
    workload_context(kOptions[i].text);
    CHECK_EQ(now.values[i], was->values[i]);
  }
  workload_context(NULL);
  CHECK_STR(now.congestion, was->congestion);
  CHECK_EQ(now.linger.l_onoff, was->linger.l_onoff);
  CHECK_EQ(now.linger.l_linger, was->linger.l_linger);
}

static void set_all(int fd) {
  for (int i = 0; i < kCount; i++) {
    set_option(fd, kOptions[i].level, kOptions[i].name, kOptions[i].value);
  }
  struct linger linger = {1, 9};
  CHECK_SYS(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger));
}

static void check_negotiated(struct tcp_info now, struct tcp_info was) {
  CHECK_EQ(now.tcpi_options & (TCPI_OPT_TIMESTAMPS | TCPI_OPT_SACK | TCPI_OPT_WSCALE),
           was.tcpi_options & (TCPI_OPT_TIMESTAMPS | TCPI_OPT_SACK | TCPI_OPT_WSCALE));
  CHECK_EQ(now.tcpi_snd_wscale, was.tcpi_snd_wscale);
  CHECK_EQ(now.tcpi_rcv_wscale, was.tcpi_rcv_wscale);
}

int main(void) {
  struct pair pair = connect_tcp(AF_INET);
  set_all(pair.client);
  int listener = listen_loopback(AF_INET, 5);
  set_all(listener);
  set_option(listener, SOL_TCP, TCP_DEFER_ACCEPT, 5);
  int deferred = get_option(listener, SOL_TCP, TCP_DEFER_ACCEPT);
  struct observed client;
  struct observed server;
  struct observed listening;
  observe(pair.client, &client);
  observe(pair.server, &server);
  observe(listener, &listening);
  struct tcp_info client_info = tcp_state(pair.client);
  struct tcp_info server_info = tcp_state(pair.server);

  workload_ready();

  check_same(pair.client, &client);
  check_same(pair.server, &server);
  check_same(listener, &listening);
  CHECK_EQ(get_option(listener, SOL_TCP, TCP_DEFER_ACCEPT), deferred);
  check_negotiated(tcp_state(pair.client), client_info);
  check_negotiated(tcp_state(pair.server), server_info);
  check_conversation(pair);
  return workload_ok();
}
