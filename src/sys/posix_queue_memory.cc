#include "sys/posix_queue_memory.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <mqueue.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>

#include "base/fd.h"
#include "base/ids.h"
#include "sys/kernel_types.h"

namespace martlet::sys {

// Offsets and sizes in bytes.
struct PosixQueueMemory::Layout {
  uint32_t inode_of_file;
  struct {
    uint32_t inode, tree, count, kind, value, owner, program, user_namespace, socket, cookie;
  } info;
  struct {
    uint32_t size, right, left;
  } node;
  struct {
    uint32_t size, list, priority;
  } priority;
  struct {
    uint32_t size, length, next, next_size;
  } message;
  struct {
    uint32_t tasks, link, link_size, program;
  } task;
  struct {
    uint32_t number, socket, socket_inode, data;
  } other;

  static Result<Layout> find(const KernelTypes& types);
};

namespace {

constexpr size_t kMostMessages = 65536;      // HARD_MSGMAX
constexpr size_t kLongestMessage = 1 << 24;  // HARD_MSGSIZEMAX
constexpr size_t kCookieBytes = 32;          // NOTIFY_COOKIE_LEN
constexpr uint64_t kThreadGroup = 1;         // PIDTYPE_TGID

Result<void> find_info(const KernelTypes& types, auto& info) {
  auto member = [&](const char* name) { return types.offset_of("mqueue_inode_info", name); };
  info = {TRY(member("vfs_inode")),
          TRY(member("msg_tree")),
          TRY(member("attr")) + TRY(types.offset_of("mq_attr", "mq_curmsgs")),
          TRY(member("notify")) + TRY(types.offset_of("sigevent", "sigev_notify")),
          TRY(member("notify")) + TRY(types.offset_of("sigevent", "sigev_value")),
          TRY(member("notify_owner")),
          TRY(member("notify_self_exec_id")),
          TRY(member("notify_user_ns")),
          TRY(member("notify_sock")),
          TRY(member("notify_cookie"))};
  return {};
}

}  // namespace

Result<PosixQueueMemory::Layout> PosixQueueMemory::Layout::find(const KernelTypes& types) {
  Layout found{};
  found.inode_of_file = TRY(types.offset_of("file", "f_inode"));
  TRY(find_info(types, found.info));
  found.node = {TRY(types.size_of("rb_node")), TRY(types.offset_of("rb_node", "rb_right")),
                TRY(types.offset_of("rb_node", "rb_left"))};
  found.priority = {TRY(types.size_of("posix_msg_tree_node")),
                    TRY(types.offset_of("posix_msg_tree_node", "msg_list")),
                    TRY(types.offset_of("posix_msg_tree_node", "priority"))};
  found.message = {TRY(types.size_of("msg_msg")), TRY(types.offset_of("msg_msg", "m_ts")),
                   TRY(types.offset_of("msg_msg", "next")), TRY(types.size_of("msg_msgseg"))};
  found.task = {TRY(types.offset_of("pid", "tasks")),
                TRY(types.offset_of("task_struct", "pid_links")), TRY(types.size_of("hlist_node")),
                TRY(types.offset_of("task_struct", "self_exec_id"))};
  found.other = {
      TRY(types.offset_of("user_namespace", "ns.inum")), TRY(types.offset_of("sock", "sk_socket")),
      TRY(types.offset_of("socket_alloc", "vfs_inode")) + TRY(types.offset_of("inode", "i_ino")),
      TRY(types.offset_of("sk_buff", "data"))};
  return found;
}

PosixQueueMemory::PosixQueueMemory(KernelMemory memory, const Layout& layout)
    : memory_(std::move(memory)), layout_(std::make_shared<Layout>(layout)) {}

Result<PosixQueueMemory> PosixQueueMemory::load() {
  const auto types = TRY(KernelTypes::load());
  const Layout layout = TRY(Layout::find(types));
  PosixQueueMemory loaded(TRY(KernelMemory::load(types)), layout);
  TRY_IN(loaded.try_known_queue(), "read a known message queue");
  return loaded;
}

const Result<PosixQueueMemory>& PosixQueueMemory::shared() {
  static const Result<PosixQueueMemory> one = load();
  return one;
}

Result<KernelAddress> PosixQueueMemory::info_of(int queue) const {
  auto file = TRY(memory_.file_of(queue));
  auto inode = TRY(memory_.read_value<KernelAddress>(file + layout_->inode_of_file));
  return KernelAddress{inode.value - layout_->info.inode};
}

// Messages of one priority are in one node of a tree.
Result<std::vector<StoredMessage>> PosixQueueMemory::messages(int queue) const {
  std::vector<StoredMessage> found;
  const auto info = TRY(info_of(queue));
  auto top = TRY(memory_.read_value<KernelAddress>(info + layout_->info.tree));
  if (top) TRY(add_below(top, found));
  if (found.size() != TRY(memory_.read_value<uint64_t>(info + layout_->info.count)))
    return fail(Code::kSystem, "its messages are not seen");
  return found;
}

Result<void> PosixQueueMemory::add_below(KernelAddress node,
                                         std::vector<StoredMessage>& out) const {
  const auto links = TRY(memory_.read_object(node, layout_->node.size));
  if (auto higher = links.at<KernelAddress>(layout_->node.right)) TRY(add_below(higher, out));
  TRY(add_priority(node, out));
  if (auto lower = links.at<KernelAddress>(layout_->node.left)) TRY(add_below(lower, out));
  return {};
}

// A list is a ring that its head belongs to; a message begins with the pointer to the next.
Result<void> PosixQueueMemory::add_priority(KernelAddress node,
                                            std::vector<StoredMessage>& out) const {
  const auto priority = TRY(memory_.read_value<uint32_t>(node + layout_->priority.priority));
  const KernelAddress head = node + layout_->priority.list;
  for (auto next = TRY(memory_.read_value<KernelAddress>(head)); next != head;
       next = TRY(memory_.read_value<KernelAddress>(next))) {
    if (out.size() == kMostMessages) return fail(Code::kSystem, "a queue without an end");
    out.push_back({priority, TRY(read_message(next))});
  }
  return {};
}

// What does not fit into a page with its head goes on in further ones, each with a pointer first.
Result<std::string> PosixQueueMemory::read_message(KernelAddress message) const {
  const auto head = TRY(memory_.read_object(message, layout_->message.size));
  const auto length = head.at<uint64_t>(layout_->message.length);
  if (length > kLongestMessage) return fail(Code::kSystem, "length of a message");
  KernelAddress part = message;
  uint64_t header = layout_->message.size;
  auto next = head.at<KernelAddress>(layout_->message.next);
  std::string data;
  for (;;) {
    data += TRY(
        memory_.read(part + header, std::min<uint64_t>(length - data.size(), kPageSize - header)));
    if (data.size() == length) return data;
    part = next;
    header = layout_->message.next_size;
    next = TRY(memory_.read_value<KernelAddress>(part));
  }
}

Result<bool> PosixQueueMemory::runs_same_program(KernelAddress owner, uint32_t program) const {
  const uint64_t link = kThreadGroup * layout_->task.link_size;
  auto first = TRY(memory_.read_value<uint64_t>(owner + layout_->task.tasks +
                                                kThreadGroup * sizeof(KernelAddress)));
  const KernelAddress task{first - layout_->task.link - link};
  return TRY(memory_.read_value<uint32_t>(task + layout_->task.program)) == program;
}

// What a kind does not use the kernel leaves as it was.
Result<QueueNotification> PosixQueueMemory::notification(int queue) const {
  const auto info = TRY(info_of(queue));
  auto pointer = [&](uint32_t offset) { return memory_.read_value<KernelAddress>(info + offset); };
  QueueNotification found;
  found.kind = TRY(memory_.read_value<int>(info + layout_->info.kind));
  if (found.kind == SIGEV_THREAD) {
    auto sock = TRY(pointer(layout_->info.socket));
    auto socket = TRY(memory_.read_value<KernelAddress>(sock + layout_->other.socket));
    found.socket = TRY(memory_.read_value<uint64_t>(socket + layout_->other.socket_inode));
    auto buffer = TRY(pointer(layout_->info.cookie));
    auto data = TRY(memory_.read_value<KernelAddress>(buffer + layout_->other.data));
    found.cookie = TRY(memory_.read(data, kCookieBytes));
  }
  if (found.kind != SIGEV_SIGNAL) return found;
  found.value = TRY(memory_.read_value<uint64_t>(info + layout_->info.value));
  found.of_this_program =
      TRY(runs_same_program(TRY(pointer(layout_->info.owner)),
                            TRY(memory_.read_value<uint32_t>(info + layout_->info.program))));
  auto name_space = TRY(pointer(layout_->info.user_namespace));
  found.user_namespace = TRY(memory_.read_value<uint32_t>(name_space + layout_->other.number));
  return found;
}

// It has no name any more before anything is in it, and a registration ends with the descriptor.
Result<void> PosixQueueMemory::try_known_queue() const {
  const std::string name = fmt::format("martlet-{}", ::getpid());
  mq_attr size{};
  size.mq_maxmsg = 3;
  size.mq_msgsize = 2 * kPageSize;
  Fd queue(static_cast<int>(::syscall(SYS_mq_open, name.c_str(),
                                      O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NONBLOCK, S_IRUSR,
                                      &size)));
  if (!queue.valid() || ::syscall(SYS_mq_unlink, name.c_str()) != 0)
    return fail_errno("make a message queue");
  std::string longest(static_cast<size_t>(size.mq_msgsize), 'l');
  longest.front() = 'L';
  longest.back() = 'T';
  const std::vector<StoredMessage> sent = {{7, "urgent"}, {1, longest}, {1, ""}};
  for (const StoredMessage& message : {sent[1], sent[0], sent[2]})
    if (::mq_send(queue.get(), message.data.data(), message.data.size(), message.priority) != 0)
      return fail_errno("send to a message queue");
  sigevent event{};
  event.sigev_notify = SIGEV_SIGNAL;
  event.sigev_signo = SIGURG;
  event.sigev_value.sival_ptr = &event;
  if (::syscall(SYS_mq_notify, queue.get(), &event) != 0) return fail_errno("mq_notify");
  const auto seen = TRY(messages(queue.get()));
  const auto registered = TRY(notification(queue.get()));
  const bool same = std::ranges::equal(seen, sent,
                                       [](const StoredMessage& a, const StoredMessage& b) {
                                         return a.priority == b.priority && a.data == b.data;
                                       }) &&
                    registered.kind == SIGEV_SIGNAL &&
                    registered.value == reinterpret_cast<uint64_t>(&event) &&
                    registered.of_this_program;
  if (!same) return fail(Code::kSystem, "it is not what it is known to be");
  return {};
}

}  // namespace martlet::sys
