// refused: netlink
#include <linux/netlink.h>
#include <linux/rtnetlink.h>

#include "workload_sockets.h"

int main(void) {
  int fd = CHECK_SYS(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  struct sockaddr_nl address = {.nl_family = AF_NETLINK};
  CHECK_SYS(bind(fd, (struct sockaddr*)&address, sizeof address));

  workload_ready();

  struct {
    struct nlmsghdr header;
    struct rtgenmsg message;
  } request = {{.nlmsg_len = sizeof request,
                .nlmsg_type = RTM_GETLINK,
                .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
               {.rtgen_family = AF_UNSPEC}};
  CHECK_EQ(CHECK_SYS(send(fd, &request, sizeof request, 0)), sizeof request);
  static char buffer[32768];
  CHECK_RANGE(CHECK_SYS(recv(fd, buffer, sizeof buffer, 0)), sizeof(struct nlmsghdr),
              sizeof buffer);
  CHECK_EQ(((struct nlmsghdr*)buffer)->nlmsg_type, RTM_NEWLINK);
  return workload_ok();
}
