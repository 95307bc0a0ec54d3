#include "engine/sockets/unix_queue.h"

#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <utility>

#include "engine/sockets/common.h"
#include "engine/sockets/unix_name.h"
#include "sys/sock_diag.h"
#include "sys/socket_queue.h"

namespace martlet::engine {
namespace {

bool may_have_queue(const OpenFile& file) {
  if (!S_ISSOCK(file.status.st_mode)) return false;
  pollfd state{file.fd, POLLIN, 0};
  if (::poll(&state, 1, 0) != 1 || (state.revents & POLLIN) == 0) return false;
  return sys::get_int_option(file.fd, SOL_SOCKET, SO_DOMAIN).value_or(AF_UNSPEC) == AF_UNIX &&
         sys::get_int_option(file.fd, SOL_SOCKET, SO_ACCEPTCONN).value_or(0) == 0;
}

// At the end of what a closed peer has sent, a stream and a packet socket go on with nothing.
Result<std::vector<sys::QueuedMessage>> peek_queue(CaptureContext& context, const OpenFile& file) {
  constexpr uint8_t kReceive = 1;
  int diag = TRY(group_sock_diag(context));
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

Result<void> read_queue(CaptureContext& context, const OpenFile& file, const AddFile& add) {
  auto& queue = context.unix_queues()[file.id];
  for (sys::QueuedMessage& message : TRY(peek_queue(context, file))) {
    image::UnixMessage& record = *queue.Add();
    record.set_data(std::move(message.data));
    record.set_sender(named_or_empty(message.sender));
    for (Fd& descriptor : message.descriptors)
      record.add_descriptors(TRY(add(std::move(descriptor))));
    if (message.credentials) describe_sender(context, *message.credentials, record);
  }
  return {};
}

}  // namespace

Result<void> read_unix_queues(CaptureContext& context, const AddFile& add) {
  for (size_t i = 0; i < context.files().size(); ++i) {
    const OpenFile file = context.files()[i];  // `add` may move them
    if (!may_have_queue(file)) continue;
    TRY(context.judge(in_context(read_queue(context, file, add), file.link)));
  }
  return {};
}

}  // namespace martlet::engine
