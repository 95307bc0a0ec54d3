#include <fmt/format.h>
#include <sys/msg.h>

#include <cerrno>
#include <cstring>

#include "engine/ipc/sysv_kinds.h"
#include "engine/ipc/sysv_permission.h"

namespace martlet::engine {
namespace {

std::string describe_queue(int id) {
  return fmt::format("System V message queue {}", id);
}

// A message as msgsnd and msgrcv have it: its type, then its text.
class MessageBuffer {
 public:
  explicit MessageBuffer(size_t capacity) : bytes_(sizeof(long) + capacity) {}
  void* get() { return bytes_.data(); }
  size_t capacity() const { return bytes_.size() - sizeof(long); }
  char* text() { return bytes_.data() + sizeof(long); }
  long type() const {
    long type;
    std::memcpy(&type, bytes_.data(), sizeof type);
    return type;
  }
  void set_type(long type) { std::memcpy(bytes_.data(), &type, sizeof type); }

 private:
  std::vector<char> bytes_;
};

Result<void> send(int id, const image::SysvMessage& message) {
  MessageBuffer buffer(message.data().size());
  buffer.set_type(message.type());
  std::memcpy(buffer.text(), message.data().data(), message.data().size());
  if (::msgsnd(id, buffer.get(), message.data().size(), IPC_NOWAIT) != 0)
    return fail_errno("fill " + describe_queue(id));
  return {};
}

}  // namespace

std::vector<int> list_queues() {
  std::vector<int> ids;
  msginfo info{};
  int last = ::msgctl(0, MSG_INFO, reinterpret_cast<msqid_ds*>(&info));
  for (int index = 0; index <= last; ++index) {
    msqid_ds status{};
    if (int id = ::msgctl(index, MSG_STAT, &status); id >= 0) ids.push_back(id);
  }
  return ids;
}

// MSG_COPY reads the message at a position without taking it out.
Result<image::SysvMessageQueue> capture_queue(int id) {
  msqid_ds status{};
  if (::msgctl(id, IPC_STAT, &status) != 0) return fail_errno("read " + describe_queue(id));
  image::SysvMessageQueue queue;
  fill_permission(id, status.msg_perm, *queue.mutable_permission());
  queue.set_capacity(status.msg_qbytes);
  MessageBuffer buffer(status.__msg_cbytes);
  for (msgqnum_t position = 0; position < status.msg_qnum; ++position) {
    ssize_t size = ::msgrcv(id, buffer.get(), buffer.capacity(), static_cast<long>(position),
                            MSG_COPY | IPC_NOWAIT);
    if (size < 0) return fail_errno("peek into " + describe_queue(id));
    image::SysvMessage& message = *queue.add_messages();
    message.set_type(buffer.type());
    message.set_data(buffer.text(), static_cast<size_t>(size));
  }
  return queue;
}

Result<void> create_queue(const image::SysvMessageQueue& queue) {
  const image::IpcPermission& permission = queue.permission();
  TRY(make_with_id("msg", permission, remove_queue,
                   [](key_t key, int flags) { return ::msgget(key, flags); }));
  for (const image::SysvMessage& message : queue.messages()) TRY(send(permission.id(), message));
  msqid_ds status{};
  set_owner(permission, status.msg_perm);
  status.msg_qbytes = queue.capacity();
  if (::msgctl(permission.id(), IPC_SET, &status) != 0)
    return fail_errno("set the owner and size of " + describe_queue(permission.id()));
  return {};
}

int remove_queue(int id) {
  return ::msgctl(id, IPC_RMID, nullptr);
}

}  // namespace martlet::engine
