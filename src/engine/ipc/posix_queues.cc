#include "engine/ipc/posix_queues.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <mqueue.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "base/fd.h"
#include "engine/files/descriptions.h"
#include "engine/files/fd_info.h"
#include "engine/ipc/queue_notifications.h"
#include "sys/detached_mount.h"
#include "sys/outliving.h"
#include "sys/pidfd.h"
#include "sys/procfs.h"

namespace martlet::engine {
namespace {

constexpr auto kQueueFileSystem = 0x19800202;  // as statfs(2) tells it
constexpr mode_t kPermissionBits = 07777;
constexpr int kRetryMilliseconds = 10;

struct CloseDirectory {
  void operator()(DIR* directory) const { ::closedir(directory); }
};

// Those of the calling thread's namespace.
Result<Fd> open_queues() {
  return sys::open_detached("mqueue");
}

Result<std::vector<std::string>> list_queues() {
  std::vector<std::string> found;
  auto directory = open_queues();
  // A kernel without such queues.
  if (!directory && directory.error().error_number() == ENODEV) return found;
  if (!directory) return std::unexpected(std::move(directory.error()));
  std::unique_ptr<DIR, CloseDirectory> names(::fdopendir(directory->get()));
  if (!names) return fail_errno("list POSIX message queues");
  directory->release();  // the stream closes it
  while (const dirent* entry = ::readdir(names.get()))
    if (std::string name = entry->d_name; name != "." && name != "..")
      found.push_back(std::move(name));
  return found;
}

// The C library's call takes the name with a slash; this one has it as the kernel does.
Fd open_queue(const std::string& name, int flags, mode_t mode = 0, const mq_attr* size = nullptr) {
  return Fd(static_cast<int>(
      ::syscall(SYS_mq_open, name.c_str(), flags | O_CLOEXEC | O_NONBLOCK, mode, size)));
}

// Each namespace has a file system of queues, of a device with a number of its own.
uint64_t id_of(const struct stat& status) {
  return uint64_t{status.st_dev} << 32 | static_cast<uint32_t>(status.st_ino);
}

std::string key_of(uint64_t id) {
  return fmt::format("posix queue {}", id);
}

std::string describe(const std::string& name) {
  return "POSIX message queue /" + name;
}

// `fd` is open for reading and writing.
Result<void> add_queue(CaptureContext& context, Fd fd, const std::string& name, image::Ipc& ipc) {
  struct stat status{};
  mq_attr attributes{};
  if (::fstat(fd.get(), &status) != 0 || ::mq_getattr(fd.get(), &attributes) != 0)
    return fail_errno("read");
  image::PosixQueue queue;
  TRY(capture_queue_notification(context, fd.get(), status, queue));
  queue.set_id(id_of(status));
  queue.set_name(name);
  queue.set_removed(status.st_nlink == 0);
  queue.set_mode(status.st_mode & kPermissionBits);
  queue.set_uid(status.st_uid);
  queue.set_gid(status.st_gid);
  queue.set_capacity(attributes.mq_maxmsg);
  queue.set_message_size(attributes.mq_msgsize);
  context.stash(key_of(queue.id()), std::move(fd));
  *ipc.add_posix_queues() = std::move(queue);
  return {};
}

Result<void> add_named(CaptureContext& context, image::Ipc& ipc) {
  for (const std::string& name : TRY(list_queues())) {
    Fd fd = open_queue(name, O_RDWR);
    if (!fd.valid()) return fail_errno("open " + describe(name));
    TRY(context.judge(in_context(add_queue(context, std::move(fd), name, ipc), describe(name))));
  }
  return {};
}

Result<void> add_removed(CaptureContext& context, dev_t device, image::Ipc& ipc) {
  constexpr std::string_view kMark = " (deleted)";
  for (const OpenFile& file : context.files()) {
    if (file.status.st_nlink != 0 || file.status.st_dev != device ||
        !S_ISREG(file.status.st_mode) || !is_posix_queue(file.fd) ||
        captured_queue(context, file.status))
      continue;
    std::string name = file.link.substr(file.link.rfind('/') + 1);
    if (name.ends_with(kMark)) name.resize(name.size() - kMark.size());
    Fd fd = TRY(reopen(file.fd, O_RDWR | O_NONBLOCK));
    TRY(context.judge(in_context(add_queue(context, std::move(fd), name, ipc), describe(name))));
  }
  return {};
}

// Whether the namespace is that of this process, and so of others that no freeze stops.
Result<bool> is_own_namespace(HostPid process) {
  return TRY(sys::read_link("/proc/self/ns/ipc")) ==
         TRY(sys::read_link(sys::proc_path(process, "ns/ipc")));
}

// Until there is none left, or none can be taken.
image::PosixQueue take_all(int fd, size_t largest) {
  image::PosixQueue taken;
  std::vector<char> buffer(largest);
  unsigned priority = 0;
  ssize_t size = 0;
  while ((size = ::mq_receive(fd, buffer.data(), buffer.size(), &priority)) >= 0) {
    image::PosixMessage& message = *taken.add_messages();
    message.set_priority(priority);
    message.set_data(buffer.data(), static_cast<size_t>(size));
  }
  return taken;
}

bool put(int fd, const image::PosixMessage& message) {
  return ::mq_send(fd, message.data().data(), message.data().size(), message.priority()) == 0;
}

// Within a child that outlives this process. If that dies the group goes on, and may fill the queue
// meanwhile. Then this waits for room, for as long as the group is there: a message that is not put
// back would be lost. `root` is a pidfd.
Result<std::string> take_and_put_back(int fd, size_t largest, int root) {
  image::PosixQueue taken = take_all(fd, largest);
  ::alarm(0);
  pollfd end{root, POLLIN, 0};
  for (const image::PosixMessage& message : taken.messages())
    while (!put(fd, message))
      if (::poll(&end, 1, kRetryMilliseconds) > 0)
        return fail(Code::kGone, "the group has ended meanwhile");
  return taken.SerializeAsString();
}

Result<void> read_messages(int fd, int root, image::PosixQueue& queue) {
  if (queue.has_notification()) return read_stored_messages(fd, queue);
  mq_attr attributes{};
  if (::mq_getattr(fd, &attributes) != 0) return fail_errno("read");
  if (attributes.mq_curmsgs == 0) return {};
  image::PosixQueue taken;
  auto largest = static_cast<size_t>(attributes.mq_msgsize);
  auto read = TRY(sys::run_outliving(std::array{fd, root},
                                     [&] { return take_and_put_back(fd, largest, root); }));
  if (!taken.ParseFromString(read) || taken.messages_size() != attributes.mq_curmsgs)
    return fail(Code::kSystem, "its messages could not be read");
  *queue.mutable_messages() = std::move(*taken.mutable_messages());
  return {};
}

Result<Fd> create_queue(const image::PosixQueue& queue) {
  mq_attr size{};
  size.mq_maxmsg = queue.capacity();
  size.mq_msgsize = queue.message_size();
  Fd fd = open_queue(queue.name(), O_RDWR | O_CREAT | O_EXCL, S_IRUSR | S_IWUSR, &size);
  if (!fd.valid() && errno == EMFILE)
    return std::unexpected(
        Error(Code::kSystem, "the limit of memory for message queues is reached")
            .with_remedy("raise RLIMIT_MSGQUEUE (LimitMSGQUEUE=) of the process that restores"));
  if (!fd.valid()) return fail_errno("create");
  for (const image::PosixMessage& message : queue.messages())
    if (!put(fd.get(), message)) return fail_errno("fill");
  if (::fchown(fd.get(), queue.uid(), queue.gid()) != 0 ||
      ::fchmod(fd.get(), queue.mode() & kPermissionBits) != 0)
    return fail_errno("set owner and mode");
  if (queue.removed() && ::syscall(SYS_mq_unlink, queue.name().c_str()) != 0)
    return fail_errno("remove");
  return fd;
}

}  // namespace

bool is_posix_queue(int fd) {
  struct statfs system{};
  return ::fstatfs(fd, &system) == 0 && system.f_type == kQueueFileSystem;
}

Result<dev_t> device_of_queues(HostPid process) {
  struct stat status{};
  TRY(run_in_namespace(process, "ipc", [&]() -> Result<void> {
    auto directory = open_queues();
    if (!directory && directory.error().error_number() == ENODEV) return {};
    if (!directory) return std::unexpected(std::move(directory.error()));
    if (::fstat(directory->get(), &status) != 0) return fail_errno("stat POSIX message queues");
    return {};
  }));
  return status.st_dev;
}

Result<void> capture_posix_queues(CaptureContext& context, HostPid process, image::Ipc& ipc) {
  if (TRY(is_own_namespace(process))) return {};
  TRY(run_in_namespace(process, "ipc", [&] { return add_named(context, ipc); }));
  return add_removed(context, TRY(device_of_queues(process)), ipc);
}

Result<void> capture_posix_messages(const CaptureContext& context, image::Ipc& ipc) {
  if (ipc.posix_queues().empty()) return {};
  Fd root = TRY(sys::open_pidfd(context.root()));
  for (image::PosixQueue& queue : *ipc.mutable_posix_queues())
    TRY_IN(read_messages(context.stashed(key_of(queue.id())), root.get(), queue),
           describe(queue.name()));
  return {};
}

std::optional<uint64_t> captured_queue(const CaptureContext& context, const struct stat& status) {
  const uint64_t id = id_of(status);
  if (context.stashed(key_of(id)) < 0) return std::nullopt;
  return id;
}

// One that was removed may have the name of one that is there.
Result<void> create_posix_queues_here(ApplyContext& context, const image::Ipc& ipc) {
  for (bool removed : {true, false})
    for (const image::PosixQueue& queue : ipc.posix_queues())
      if (queue.removed() == removed)
        context.stash(key_of(queue.id()), TRY_IN(create_queue(queue), describe(queue.name())));
  return {};
}

Result<void> create_posix_queues(ApplyContext& context, const image::Ipc& ipc) {
  if (ipc.posix_queues().empty()) return {};
  if (TRY(is_own_namespace(context.root())))
    return fail(Code::kBadImage, "POSIX message queues of a group without an IPC namespace");
  return run_in_namespace(context.root(), "ipc",
                          [&] { return create_posix_queues_here(context, ipc); });
}

Result<Fd> open_posix_queue(ApplyContext& context, uint64_t id, int flags) {
  std::string key = key_of(id);
  auto queue = context.take_stashed(key);
  if (!queue) return fail(Code::kBadImage, "a POSIX message queue that is not in the image");
  auto opened = reopen(queue->get(), flags);
  context.stash(key, std::move(*queue));
  return opened;
}

}  // namespace martlet::engine
