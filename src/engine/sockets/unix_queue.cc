#include "engine/sockets/unix_queue.h"

#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <utility>

#include "engine/sockets/common.h"
#include "engine/sockets/unix_name.h"
#include "sys/procfs.h"
#include "sys/sock_diag.h"
#include "sys/socket_queue.h"
#include "sys/unix_backlog.h"

namespace martlet::engine {
namespace {

bool is_readable_unix(const OpenFile& file) {
  if (!S_ISSOCK(file.status.st_mode)) return false;
  pollfd state{file.fd, POLLIN, 0};
  if (::poll(&state, 1, 0) != 1 || (state.revents & POLLIN) == 0) return false;
  return sys::get_int_option(file.fd, SOL_SOCKET, SO_DOMAIN).value_or(AF_UNSPEC) == AF_UNIX;
}

bool is_listener(const OpenFile& file) {
  return sys::get_int_option(file.fd, SOL_SOCKET, SO_ACCEPTCONN).value_or(0) != 0;
}

bool has_queue(const OpenFile& file) {
  return is_readable_unix(file) && !is_listener(file);
}

bool has_backlog(const OpenFile& file) {
  return is_readable_unix(file) && is_listener(file);
}

// At the end of what a closed peer has sent, a stream and a packet socket go on with nothing.
Result<std::vector<sys::QueuedMessage>> peek_queue(CaptureContext& context, const OpenFile& file) {
  constexpr uint8_t kReceive = 1;
  int diag = TRY(group_sock_diag(context, file.network));
  auto info = TRY(sys::query_unix_socket(diag, static_cast<uint32_t>(file.status.st_ino)));
  bool ends = info.type == SOCK_STREAM || (info.shutdown & kReceive) != 0;
  if (info.type == SOCK_DGRAM || !ends) return sys::peek_messages(file.fd);
  int waiting = 0;
  if (::ioctl(file.fd, FIONREAD, &waiting) != 0) return fail_errno("size of a socket's queue");
  return sys::peek_messages_of(file.fd, static_cast<size_t>(waiting));
}

// The kernel shows a message without a sender as one of nobody.
void describe_sender(const CaptureContext& context, const ucred& sender, image::UnixMessage& out) {
  if (sender.pid == 0) return;
  out.set_has_credentials(true);
  auto inside = context.task(HostPid(sender.pid));
  out.set_credentials_pid(inside ? inside->value : 0);
  out.set_credentials_uid(sender.uid);
  out.set_credentials_gid(sender.gid);
}

using Messages = google::protobuf::RepeatedPtrField<image::UnixMessage>;

Result<void> describe(CaptureContext& context, std::vector<sys::QueuedMessage> queue,
                      const AddFile& add, Messages& out) {
  for (sys::QueuedMessage& message : queue) {
    image::UnixMessage& record = *out.Add();
    record.set_data(std::move(message.data));
    record.set_sender(named_or_empty(message.sender));
    for (Fd& descriptor : message.descriptors)
      record.add_descriptors(TRY(add(std::move(descriptor))));
    if (message.credentials) describe_sender(context, *message.credentials, record);
  }
  return {};
}

Result<void> read_queue(CaptureContext& context, const OpenFile& file, const AddFile& add) {
  return describe(context, TRY(peek_queue(context, file)), add, context.unix_queues()[file.id]);
}

// The end that waits. Its name, type and options are the listener's.
Result<void> describe_waiting(CaptureContext& context, const OpenFile& listener,
                              sys::WaitingConnection waiting, const AddFile& add,
                              image::UnixSocket& out) {
  if (waiting.client_inode != 0 && !has_socket(context, waiting.client_inode))
    return fail(Code::kUnsupported,
                "a connection from outside of the group is waiting to be accepted");
  if (!context.is_member(NsPid(waiting.client.pid)) &&
      TRY(lives_further_in(context, listener.holder)))
    return fail(Code::kUnsupported,
                "a connection is waiting to be accepted whose process has ended, and may be known "
                "in the nested PID namespace of who has the listener");
  out.set_peer_inode(waiting.client_inode);
  out.set_peer_name(named_or_empty(waiting.client_name));
  out.set_has_credentials(true);
  out.set_credentials_pid(waiting.client.pid);
  out.set_credentials_uid(waiting.client.uid);
  out.set_credentials_gid(waiting.client.gid);
  return describe(context, std::move(waiting.received), add, *out.mutable_queue());
}

Result<void> read_backlog(CaptureContext& context, const OpenFile& file, const AddFile& add) {
  const auto& reader = sys::UnixBacklog::shared();
  if (!reader)
    return fail(Code::kUnsupported,
                "connections are waiting to be accepted, which cannot be read: " +
                    reader.error().to_string());
  struct stat pid_namespace{};
  const std::string path = sys::proc_path(context.root(), "ns/pid");
  if (::stat(path.c_str(), &pid_namespace) != 0) return fail_errno("stat " + path);
  std::vector<int> open;
  for (const OpenFile& known : context.files())
    if (known.fd >= 0) open.push_back(known.fd);
  auto& backlog = context.unix_backlogs()[file.id];
  for (auto& waiting : TRY_IN(reader->read(file.fd, pid_namespace.st_ino, open),
                              "connections are waiting to be accepted"))
    TRY(describe_waiting(context, file, std::move(waiting), add, *backlog.Add()));
  return {};
}

using ReadOne = Result<void> (*)(CaptureContext&, const OpenFile&, const AddFile&);

Result<void> read_each(CaptureContext& context, bool (*holds)(const OpenFile&), ReadOne read,
                       const AddFile& add) {
  for (size_t i = 0; i < context.files().size(); ++i) {
    const OpenFile file = context.files()[i];  // `add` may move them
    if (!holds(file)) continue;
    TRY(context.judge(in_context(read(context, file, add), file.link)));
  }
  return {};
}

}  // namespace

// What waits in a backlog brings no files, but may have those that a queue has brought.
Result<void> read_unix_queues(CaptureContext& context, const AddFile& add) {
  TRY(read_each(context, has_queue, read_queue, add));
  return read_each(context, has_backlog, read_backlog, add);
}

}  // namespace martlet::engine
