#include "engine/ipc/posix_queues.h"

#include <fcntl.h>
#include <mqueue.h>

#include <array>

#include "engine/test_util.h"

namespace martlet::engine {
namespace {

bool create(const char* name, const std::vector<std::pair<std::string, unsigned>>& messages) {
  mq_attr size{};
  size.mq_maxmsg = 4;
  size.mq_msgsize = 16;
  mqd_t queue = ::mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0640, &size);
  if (queue < 0) return false;
  for (const auto& [text, priority] : messages)
    if (::mq_send(queue, text.data(), text.size(), priority) != 0) return false;
  return ::mq_close(queue) == 0;
}

using Received = std::vector<std::pair<std::string, unsigned>>;

Received receive_all(const char* name) {
  Received received;
  Fd queue(::mq_open(name, O_RDONLY | O_NONBLOCK));
  std::array<char, 16> text{};
  unsigned priority = 0;
  for (ssize_t size = 0;
       (size = ::mq_receive(queue.get(), text.data(), text.size(), &priority)) >= 0;)
    received.emplace_back(std::string(text.data(), static_cast<size_t>(size)), priority);
  return received;
}

class PosixQueuesTest : public testing::Test {
 protected:
  Result<image::Ipc> capture(HostPid process) {
    CaptureContext context(sink_, process, {});
    image::Ipc ipc;
    TRY(capture_posix_queues(context, context.root(), ipc));
    TRY(capture_posix_messages(context, ipc));
    return ipc;
  }

  static Received received_in(HostPid process, const char* name) {
    Received received;
    EXPECT_TRUE(run_in_namespace(process, "ipc", [&]() -> Result<void> {
      received = receive_all(name);
      return {};
    }));
    return received;
  }

  MemorySink sink_;
  ChildInNamespaces source_{CLONE_NEWIPC, [] {
                              return create("/mixed", {{"low", 0}, {"a", 3}, {"", 1}, {"b", 3}}) &&
                                     create("/empty", {});
                            }};
  ChildInNamespaces target_{CLONE_NEWIPC, [] { return true; }};
  const Received mixed_ = {{"a", 3}, {"b", 3}, {"", 1}, {"low", 0}};
};

TEST_F(PosixQueuesTest, messages_are_read_and_left_where_they_are) {
  auto ipc = capture(source_.pid());
  ASSERT_TRUE(ipc) << ipc.error().to_string();
  EXPECT_EQ(ipc->posix_queues_size(), 2);
  EXPECT_EQ(received_in(source_.pid(), "/mixed"), mixed_);
}

TEST_F(PosixQueuesTest, queues_are_made_again) {
  auto ipc = capture(source_.pid());
  ASSERT_TRUE(ipc) << ipc.error().to_string();
  ApplyContext apply(target_.pid(), {});
  ASSERT_OK(create_posix_queues(apply, *ipc));
  EXPECT_EQ(received_in(target_.pid(), "/mixed"), mixed_);
  EXPECT_TRUE(received_in(target_.pid(), "/empty").empty());
}

TEST_F(PosixQueuesTest, an_image_with_impossible_queues_is_refused) {
  auto ipc = capture(source_.pid());
  ASSERT_TRUE(ipc) << ipc.error().to_string();
  ApplyContext apply(target_.pid(), {});
  image::PosixQueue& queue = *ipc->mutable_posix_queues(0);
  while (queue.messages_size() <= queue.capacity()) queue.add_messages()->set_data("more");
  EXPECT_FALSE(create_posix_queues(apply, *ipc));
  queue.set_capacity(-1);
  EXPECT_FALSE(create_posix_queues(apply, *ipc));
  queue.set_name("../name");
  EXPECT_FALSE(create_posix_queues(apply, *ipc));
  EXPECT_FALSE(open_posix_queue(apply, 12345, O_RDONLY));
}

TEST_F(PosixQueuesTest, the_namespace_of_this_process_is_left_alone) {
  auto ipc = capture(HostPid(::getpid()));
  ASSERT_TRUE(ipc);
  EXPECT_EQ(ipc->posix_queues_size(), 0);
  ipc->add_posix_queues()->set_name("name");
  ApplyContext apply(HostPid(::getpid()), {});
  EXPECT_FALSE(create_posix_queues(apply, *ipc));
}

}  // namespace
}  // namespace martlet::engine
