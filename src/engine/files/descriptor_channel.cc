#include "engine/files/descriptor_channel.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>

namespace martlet::engine {
namespace {

constexpr size_t kBatch = 250;  // the kernel takes 253 in one message

}  // namespace

Result<std::vector<int>> DescriptorChannel::send(Task& task, std::span<const int> descriptors) {
  std::vector<int> numbers;
  for (size_t start = 0; start < descriptors.size(); start += kBatch) {
    auto batch = descriptors.subspan(start, std::min(kBatch, descriptors.size() - start));
    TRY(send_batch(batch));
    TRY_IN(receive_batch(task, batch.size(), numbers), "pass descriptors");
  }
  return numbers;
}

Result<void> DescriptorChannel::send_batch(std::span<const int> descriptors) {
  std::vector<std::byte> control(CMSG_SPACE(descriptors.size_bytes()));
  char payload = 0;
  iovec vector{&payload, 1};
  msghdr message{};
  message.msg_iov = &vector;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(descriptors.size_bytes());
  std::memcpy(CMSG_DATA(header), descriptors.data(), descriptors.size_bytes());
  if (::sendmsg(control_.get(), &message, MSG_NOSIGNAL) != 1) return fail_errno("send descriptors");
  return {};
}

Result<void> DescriptorChannel::receive_batch(Task& task, size_t count, std::vector<int>& numbers) {
  Program program(task.arena());
  size_t control_size = CMSG_SPACE(count * sizeof(int));
  TargetAddr payload = program.reserve(1);
  TargetAddr control = program.reserve(control_size);
  iovec vector{reinterpret_cast<void*>(payload.value), 1};
  msghdr message{};
  message.msg_iov = reinterpret_cast<iovec*>(program.put_value(vector).value);
  message.msg_iovlen = 1;
  message.msg_control = reinterpret_cast<void*>(control.value);
  message.msg_controllen = control_size;
  TargetAddr header = program.put_value(message);
  program.call("receive descriptors", SYS_recvmsg,
               {number_, header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC});
  TRY(task.run(program));
  auto answer = program.output_value<msghdr>(header);
  if ((answer.msg_flags & MSG_CTRUNC) != 0)
    return fail(Code::kSystem, "the task's limit of open files is too low");
  auto bytes = program.output(control, control_size);
  cmsghdr received{};
  std::memcpy(&received, bytes.data(), sizeof received);
  if (received.cmsg_type != SCM_RIGHTS || received.cmsg_len != CMSG_LEN(count * sizeof(int)))
    return fail(Code::kSystem, "descriptors got lost");
  std::vector<int> batch(count);
  std::memcpy(batch.data(), bytes.data() + CMSG_LEN(0), count * sizeof(int));
  numbers.insert(numbers.end(), batch.begin(), batch.end());
  return {};
}

Result<void> DescriptorChannel::move_to(Task& root, int number) {
  if (number == number_) return {};
  Program program(root.arena());
  program.call("move control socket", SYS_dup3, {number_, number, O_CLOEXEC});
  program.call("close control socket", SYS_close, {number_});
  TRY(root.run(program));
  number_ = number;
  return {};
}

}  // namespace martlet::engine
