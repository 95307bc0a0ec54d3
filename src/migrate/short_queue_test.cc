#include "migrate/short_queue.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <vector>

#include "base/test_util.h"
#include "migrate/socket_channel.h"

namespace martlet::migrate {
namespace {

using std::chrono::milliseconds;

TEST(QueueLimit, IsWhatTheLinkCarriesInFewMilliseconds) {
  EXPECT_EQ(queue_limit({100'000'000, std::chrono::microseconds(500)}), 300'000U);
  EXPECT_EQ(queue_limit({100'000'000, milliseconds(10)}), 2'200'000U);  // a long way
}

TEST(QueueLimit, IsBoundedWhateverTheLinkDoes) {
  EXPECT_EQ(queue_limit({}), 64U << 10);
  EXPECT_EQ(queue_limit({1000, milliseconds(1)}), 64U << 10);
  EXPECT_EQ(queue_limit({10'000'000'000, milliseconds(100)}), 16U << 20);
}

// A peer that reads nothing, and with that a link that carries nothing.
TEST(ShortQueue, HoldsNoMoreThanTheLimit) {
  Fd listener = must(listen_on({"127.0.0.1", "0"}));
  int receive_bytes = 16 << 10;  // accepted connections inherit it
  ::setsockopt(listener.get(), SOL_SOCKET, SO_RCVBUF, &receive_bytes, sizeof receive_bytes);
  auto port = must(local_port(listener.get()));
  auto out = must(SocketChannel::connect({"127.0.0.1", std::to_string(port)}, {}));
  Fd in = must(accept_on(listener.get(), {}));
  SystemClock clock;
  ShortQueue queue(out.fd(), clock);
  std::vector<std::byte> bytes(4 << 10);
  size_t sent = 0;
  ssize_t now = 0;
  while ((now = ::send(out.fd(), bytes.data(), bytes.size(), MSG_DONTWAIT)) > 0)
    sent += static_cast<size_t>(now);
  EXPECT_EQ(errno, EAGAIN);
  EXPECT_GT(sent, 16U << 10);
  EXPECT_LT(sent, 256U << 10);  // it would be megabytes
}

}  // namespace
}  // namespace martlet::migrate
