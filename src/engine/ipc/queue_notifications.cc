#include "engine/ipc/queue_notifications.h"

#include <fmt/format.h>
#include <sys/syscall.h>

#include <algorithm>
#include <charconv>
#include <csignal>
#include <functional>
#include <string>
#include <string_view>

#include "engine/ipc/posix_queues.h"
#include "sys/posix_queue_memory.h"
#include "sys/procfs.h"

namespace martlet::engine {
namespace {

constexpr size_t kCookieBytes = 32;  // of SIGEV_THREAD

std::unexpected<Error> refuse(std::string_view why) {
  return fail(Code::kUnsupported, fmt::format("a registered notification (mq_notify) {}", why));
}

// A queue reads as "QSIZE:5 NOTIFY:0 SIGNO:10 NOTIFY_PID:17"; the last is 0 if nobody is notified.
Result<int> field(std::string_view state, std::string_view label) {
  size_t at = state.find(label);
  int value = 0;
  if (at == std::string_view::npos ||
      std::from_chars(state.data() + at + label.size(), state.data() + state.size(), value).ec !=
          std::errc())
    return fail(Code::kUnsupported, "tells nothing of its state");
  return value;
}

Result<int> number_in(const CaptureContext& context, HostPid holder,
                      const std::function<bool(const struct stat&)>& is_wanted) {
  for (int number : TRY(sys::list_descriptors(holder)))
    if (const OpenFile* file = context.file_of(holder, number);
        file != nullptr && is_wanted(file->status))
      return number;
  return refuse("of a process that has closed its descriptors is not supported");
}

// A signal goes to the program that has asked for it alone, and names its sender as the user
// namespace of then calls it.
Result<void> check_still_delivered(HostPid holder, const sys::QueueNotification& registered) {
  struct stat name_space{};
  if (::stat(sys::proc_path(holder, "ns/user").c_str(), &name_space) != 0)
    return fail_errno("stat a user namespace");
  if (registered.of_this_program && registered.user_namespace == name_space.st_ino) return {};
  return refuse("from before the process became another is not supported");
}

}  // namespace

Result<void> capture_queue_notification(const CaptureContext& context, int queue,
                                        const struct stat& status, image::PosixQueue& out) {
  const std::string state = TRY(read_file(fmt::format("/proc/self/fd/{}", queue)));
  const HostPid owner(TRY(field(state, "NOTIFY_PID:")));
  if (owner.value == 0) return {};
  const auto inside = context.task(owner);
  if (!inside) return refuse("of a process outside of the group is not supported");
  const HostPid holder = sys::living_thread(owner);
  if (TRY(device_of_queues(holder)) != status.st_dev)
    return refuse("of a process that has left its IPC namespace is not supported");
  const auto& memory = sys::PosixQueueMemory::shared();
  if (!memory) return refuse("cannot be read here: " + memory.error().to_string());
  const auto registered = TRY(memory->notification(queue));
  image::QueueNotification& found = *out.mutable_notification();
  found.set_process(inside->value);
  found.set_fd(TRY(number_in(context, holder, [&](const struct stat& file) {
    return file.st_dev == status.st_dev && file.st_ino == status.st_ino;
  })));
  found.set_kind(static_cast<uint32_t>(registered.kind));
  if (found.kind() == SIGEV_SIGNAL) TRY(check_still_delivered(holder, registered));
  found.set_signal(static_cast<uint32_t>(TRY(field(state, "SIGNO:"))));
  found.set_value(registered.value);
  if (registered.cookie.empty()) return {};
  found.set_cookie(registered.cookie);
  found.set_socket(TRY(number_in(context, holder, [&](const struct stat& file) {
    return S_ISSOCK(file.st_mode) && file.st_ino == registered.socket;
  })));
  return {};
}

Result<void> read_stored_messages(int queue, image::PosixQueue& out) {
  for (sys::StoredMessage& stored : TRY(sys::PosixQueueMemory::shared()->messages(queue))) {
    image::PosixMessage& message = *out.add_messages();
    message.set_priority(stored.priority);
    message.set_data(std::move(stored.data));
  }
  return {};
}

Result<void> apply_queue_notifications(Task& task, const image::Ipc& objects) {
  for (const image::PosixQueue& queue : objects.posix_queues()) {
    const image::QueueNotification& wanted = queue.notification();
    if (!queue.has_notification() || wanted.process() != task.process().value) continue;
    Program program(task.arena());
    sigevent event{};
    event.sigev_notify = static_cast<int>(wanted.kind());
    event.sigev_signo = static_cast<int>(wanted.signal());
    event.sigev_value.sival_ptr = reinterpret_cast<void*>(static_cast<uintptr_t>(wanted.value()));
    if (wanted.kind() == SIGEV_THREAD) {
      if (wanted.cookie().size() != kCookieBytes)
        return fail(Code::kBadImage, "notification of a POSIX message queue");
      event.sigev_signo = wanted.socket();
      event.sigev_value.sival_ptr =
          reinterpret_cast<void*>(program.put(std::as_bytes(std::span(wanted.cookie()))).value);
    }
    program.call("be notified of a message", SYS_mq_notify,
                 {wanted.fd(), program.put_value(event)});
    TRY_IN(task.run(program), "POSIX message queue /" + queue.name());
  }
  return {};
}

}  // namespace martlet::engine
