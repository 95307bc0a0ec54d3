#include "engine/files/descriptor_channel.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "sys/descriptor_passing.h"

namespace martlet::engine {
namespace {

constexpr size_t kBatch = sys::kMaxPassedDescriptors;

}  // namespace

Result<std::vector<int>> DescriptorChannel::send(Task& task, std::span<const int> descriptors) {
  std::vector<int> numbers;
  constexpr std::array kPayload = {std::byte{0}};
  for (size_t start = 0; start < descriptors.size(); start += kBatch) {
    auto batch = descriptors.subspan(start, std::min(kBatch, descriptors.size() - start));
    TRY(sys::send_descriptors(control_, kPayload, batch));
    TRY_IN(receive_batch(task, batch.size(), numbers), "pass descriptors");
  }
  return numbers;
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

Result<void> DescriptorChannel::move_above(std::span<Task* const> tasks, int descriptor) {
  if (number_ > descriptor) return {};
  int before = number_;
  for (Task* task : tasks) {
    number_ = before;
    TRY(move_to(*task, descriptor + 1));
  }
  return {};
}

}  // namespace martlet::engine
