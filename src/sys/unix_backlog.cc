#include "sys/unix_backlog.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <map>
#include <span>
#include <utility>

#include "base/fd.h"
#include "base/ids.h"
#include "sys/descriptor_passing.h"
#include "sys/kernel_types.h"
#include "sys/socket_address.h"

namespace martlet::sys {

// Offsets and sizes in bytes.
struct UnixBacklog::Layout {
  struct {
    uint32_t sock, number;  // the inode's number, from the socket on
  } socket;
  struct {
    uint32_t queue, pid, cred, socket;
  } sock;
  struct {
    uint32_t size, peer, address, urgent;
  } unix_sock;
  struct {
    uint32_t size, sock, pid, uid, gid, descriptors, length, paged, end, head, data;
  } buffer;
  struct {
    uint32_t count, fragments;
  } shared;
  struct {
    uint32_t size, page, length, offset;
  } fragment;
  struct {
    uint32_t level, numbers, number_size, number, owner, inode;
  } pid;
  struct {
    uint32_t count, files;
  } descriptors;
  struct {
    uint32_t size, uid, gid;
  } cred;
  struct {
    uint32_t length, name;
  } address;
  uint64_t page_factor;  // bytes of a page for each of its struct page

  static Result<Layout> find(const KernelTypes& types);
};

namespace {

constexpr size_t kLongestQueue = 1u << 20;  // of connections or messages; more is no queue
constexpr size_t kLongestMessage = 1u << 26;

// Until Linux 6.9 the fragments are called by the name of what they are like.
Result<void> find_fragment(const KernelTypes& types, auto& fragment) {
  const bool own = types.size_of("skb_frag").has_value();
  const std::string name = own ? "skb_frag" : "bio_vec";
  fragment = {TRY(types.size_of(name)), TRY(types.offset_of(name, own ? "netmem" : "bv_page")),
              TRY(types.offset_of(name, own ? "len" : "bv_len")),
              TRY(types.offset_of(name, own ? "offset" : "bv_offset"))};
  return {};
}

Result<void> find_buffer(const KernelTypes& types, auto& buffer) {
  auto in_control = [&](const char* member) -> Result<uint32_t> {
    return TRY(types.offset_of("sk_buff", "cb")) + TRY(types.offset_of("unix_skb_parms", member));
  };
  buffer = {TRY(types.size_of("sk_buff")),
            TRY(types.offset_of("sk_buff", "sk")),
            TRY(in_control("pid")),
            TRY(in_control("uid")),
            TRY(in_control("gid")),
            TRY(in_control("fp")),
            TRY(types.offset_of("sk_buff", "len")),
            TRY(types.offset_of("sk_buff", "data_len")),
            TRY(types.offset_of("sk_buff", "end")),
            TRY(types.offset_of("sk_buff", "head")),
            TRY(types.offset_of("sk_buff", "data"))};
  return {};
}

}  // namespace

Result<UnixBacklog::Layout> UnixBacklog::Layout::find(const KernelTypes& types) {
  Layout found{};
  found.socket = {
      TRY(types.offset_of("socket", "sk")),
      TRY(types.offset_of("socket_alloc", "vfs_inode")) + TRY(types.offset_of("inode", "i_ino"))};
  found.sock = {
      TRY(types.offset_of("sock", "sk_receive_queue")), TRY(types.offset_of("sock", "sk_peer_pid")),
      TRY(types.offset_of("sock", "sk_peer_cred")), TRY(types.offset_of("sock", "sk_socket"))};
  found.unix_sock = {TRY(types.size_of("unix_sock")), TRY(types.offset_of("unix_sock", "peer")),
                     TRY(types.offset_of("unix_sock", "addr")),
                     types.offset_of("unix_sock", "oob_skb").value_or(0)};
  TRY(find_buffer(types, found.buffer));
  found.shared = {TRY(types.offset_of("skb_shared_info", "nr_frags")),
                  TRY(types.offset_of("skb_shared_info", "frags"))};
  TRY(find_fragment(types, found.fragment));
  found.pid = {
      TRY(types.offset_of("pid", "level")), TRY(types.offset_of("pid", "numbers")),
      TRY(types.size_of("upid")),           TRY(types.offset_of("upid", "nr")),
      TRY(types.offset_of("upid", "ns")),   TRY(types.offset_of("pid_namespace", "ns.inum"))};
  found.descriptors = {TRY(types.offset_of("scm_fp_list", "count")),
                       TRY(types.offset_of("scm_fp_list", "fp"))};
  found.cred = {TRY(types.size_of("cred")), TRY(types.offset_of("cred", "euid")),
                TRY(types.offset_of("cred", "egid"))};
  found.address = {TRY(types.offset_of("unix_address", "len")),
                   TRY(types.offset_of("unix_address", "name"))};
  found.page_factor = kPageSize / TRY(types.size_of("page"));
  return found;
}

UnixBacklog::UnixBacklog(KernelMemory memory, const Layout& layout)
    : memory_(std::move(memory)), layout_(std::make_shared<Layout>(layout)) {}

Result<UnixBacklog> UnixBacklog::load() {
  const auto types = TRY(KernelTypes::load());
  const Layout layout = TRY(Layout::find(types));
  UnixBacklog loaded(TRY(KernelMemory::load(types)), layout);
  TRY_IN(loaded.learn(), "read a known connection that waits to be accepted");
  return loaded;
}

const Result<UnixBacklog>& UnixBacklog::shared() {
  static const Result<UnixBacklog> one = load();
  return one;
}

// Descriptors of this process may come and go meanwhile, but not this one.
Result<KernelAddress> UnixBacklog::sock_of(int fd) const {
  struct stat status{};
  if (::fstat(fd, &status) != 0) return fail_errno("stat");
  auto socket = TRY(memory_.private_data_of(fd));
  if (TRY(memory_.read_value<uint64_t>(socket + layout_->socket.number)) != status.st_ino)
    return fail(Code::kSystem, "the kernel's structures are not as it tells");
  return memory_.read_value<KernelAddress>(socket + layout_->socket.sock);
}

// A queue is a ring that the pointers to the first and last buffer belong to; a buffer begins with
// the pointer to the next.
Result<std::vector<KernelAddress>> UnixBacklog::buffers_of(KernelAddress sock) const {
  const KernelAddress queue = sock + layout_->sock.queue;
  std::vector<KernelAddress> buffers;
  for (auto next = TRY(memory_.read_value<KernelAddress>(queue)); next != queue;
       next = TRY(memory_.read_value<KernelAddress>(next))) {
    buffers.push_back(next);
    if (buffers.size() > kLongestQueue) return fail(Code::kSystem, "a queue without an end");
  }
  return buffers;
}

Result<uint64_t> UnixBacklog::own_pid_namespace() {
  struct stat status{};
  if (::stat("/proc/self/ns/pid", &status) != 0) return fail_errno("own PID namespace");
  return status.st_ino;
}

Result<std::vector<WaitingConnection>> UnixBacklog::read(int listener, uint64_t pid_namespace,
                                                         std::span<const int> open) const {
  std::vector<WaitingConnection> waiting;
  const auto buffers = TRY(buffers_of(TRY(sock_of(listener))));
  if (buffers.empty()) return waiting;
  Question question{TRY(own_pid_namespace()), pid_namespace, {}};
  for (int fd : open) question.open.emplace(TRY(memory_.file_of(fd)).value, fd);
  for (KernelAddress buffer : buffers) {
    auto sock = TRY(memory_.read_value<KernelAddress>(buffer + layout_->buffer.sock));
    waiting.push_back(TRY(read_connection(sock, question)));
  }
  return waiting;
}

Result<WaitingConnection> UnixBacklog::read_connection(KernelAddress sock,
                                                       const Question& question) const {
  auto end = TRY(memory_.read_object(sock, layout_->unix_sock.size));
  if (layout_->unix_sock.urgent != 0 && end.at<KernelAddress>(layout_->unix_sock.urgent))
    return fail(Code::kUnsupported, "an urgent byte was sent to one");
  WaitingConnection found;
  auto cred =
      TRY(memory_.read_object(end.at<KernelAddress>(layout_->sock.cred), layout_->cred.size));
  found.client = {TRY(number_of(end.at<KernelAddress>(layout_->sock.pid), question.pid_namespace)),
                  cred.at<uid_t>(layout_->cred.uid), cred.at<gid_t>(layout_->cred.gid)};
  TRY(read_client(end.at<KernelAddress>(layout_->unix_sock.peer), found));
  for (KernelAddress buffer : TRY(buffers_of(sock)))
    found.received.push_back(TRY(read_message(buffer, question)));
  return found;
}

Result<void> UnixBacklog::read_client(KernelAddress sock, WaitingConnection& out) const {
  auto client = TRY(memory_.read_object(sock, layout_->unix_sock.size));
  if (auto socket = client.at<KernelAddress>(layout_->sock.socket)) {
    auto number = TRY(memory_.read_value<uint64_t>(socket + layout_->socket.number));
    out.client_inode = static_cast<uint32_t>(number);
  }
  auto address = client.at<KernelAddress>(layout_->unix_sock.address);
  if (!address) return {};
  auto length = TRY(memory_.read_value<uint32_t>(address + layout_->address.length));
  if (length > sizeof(sockaddr_storage)) return fail(Code::kSystem, "length of a socket's name");
  out.client_name = TRY(memory_.read(address + layout_->address.name, length));
  return {};
}

// It has a number in its own namespace and in each around that, from the outermost on.
Result<pid_t> UnixBacklog::number_of(KernelAddress pid, uint64_t pid_namespace) const {
  constexpr uint32_t kDeepest = 32;  // MAX_PID_NS_LEVEL
  const auto level = TRY(memory_.read_value<uint32_t>(pid + layout_->pid.level));
  if (level > kDeepest) return fail(Code::kSystem, "a process in impossibly many PID namespaces");
  for (uint64_t at = 0; at <= level; ++at) {
    const auto number = pid + layout_->pid.numbers + at * layout_->pid.number_size;
    auto owner = TRY(memory_.read_value<KernelAddress>(number + layout_->pid.owner));
    if (TRY(memory_.read_value<uint32_t>(owner + layout_->pid.inode)) == pid_namespace)
      return memory_.read_value<pid_t>(number + layout_->pid.number);
  }
  return 0;
}

Result<QueuedMessage> UnixBacklog::read_message(KernelAddress at, const Question& question) const {
  auto buffer = TRY(memory_.read_object(at, layout_->buffer.size));
  QueuedMessage message;
  if (auto sender = buffer.at<KernelAddress>(layout_->buffer.pid))
    message.credentials =
        ucred{TRY(number_of(sender, question.own_namespace)), buffer.at<uid_t>(layout_->buffer.uid),
              buffer.at<gid_t>(layout_->buffer.gid)};
  if (auto list = buffer.at<KernelAddress>(layout_->buffer.descriptors))
    message.descriptors = TRY(find_descriptors(list, question.open));
  message.data = TRY(read_data(buffer));
  return message;
}

Result<std::vector<Fd>> UnixBacklog::find_descriptors(KernelAddress list,
                                                      const std::map<uint64_t, int>& open) const {
  std::vector<Fd> found;
  const auto count = TRY(memory_.read_value<int16_t>(list + layout_->descriptors.count));
  for (int16_t i = 0; i < count; ++i) {
    auto file = TRY(memory_.read_value<uint64_t>(list + layout_->descriptors.files +
                                                 static_cast<uint64_t>(i) * sizeof(uint64_t)));
    auto match = open.find(file);
    if (match == open.end())
      return fail(Code::kUnsupported,
                  "a file that no process of the group has open was sent to one");
    found.emplace_back(::fcntl(match->second, F_DUPFD_CLOEXEC, 0));
    if (!found.back().valid()) return fail_errno("duplicate a descriptor");
  }
  return found;
}

Result<std::vector<UnixBacklog::Fragment>> UnixBacklog::fragments_of(
    const KernelObject& buffer) const {
  const KernelAddress end =
      buffer.at<KernelAddress>(layout_->buffer.head) + buffer.at<uint32_t>(layout_->buffer.end);
  const auto count = TRY(memory_.read_value<uint8_t>(end + layout_->shared.count));
  const auto bytes = TRY(
      memory_.read_object(end + layout_->shared.fragments, size_t{count} * layout_->fragment.size));
  std::vector<Fragment> fragments;
  for (uint32_t i = 0; i < count; ++i) {
    const uint32_t at = i * layout_->fragment.size;
    fragments.push_back({bytes.at<uint64_t>(at + layout_->fragment.page),
                         bytes.at<uint32_t>(at + layout_->fragment.offset),
                         bytes.at<uint32_t>(at + layout_->fragment.length)});
  }
  return fragments;
}

KernelAddress UnixBacklog::address_of(const Fragment& fragment) const {
  return KernelAddress{pages_start_ + fragment.page * layout_->page_factor} + fragment.offset;
}

// First what lies with the buffer, then what lies in pages of its own.
Result<std::string> UnixBacklog::read_data(const KernelObject& buffer) const {
  const auto length = buffer.at<uint32_t>(layout_->buffer.length);
  const auto paged = buffer.at<uint32_t>(layout_->buffer.paged);
  if (length > kLongestMessage || paged > length) return fail(Code::kSystem, "length of a message");
  std::string data =
      TRY(memory_.read(buffer.at<KernelAddress>(layout_->buffer.data), length - paged));
  for (const Fragment& fragment : TRY(fragments_of(buffer))) {
    if (fragment.length > length) return fail(Code::kSystem, "length of a part of a message");
    data += TRY(memory_.read(address_of(fragment), fragment.length));
  }
  if (data.size() != length) return fail(Code::kUnsupported, "a message to one is in many buffers");
  return data;
}

namespace {

// A connection of this process with itself that waits to be accepted. With each message a
// descriptor is sent.
struct Sample {
  Fd listener;
  Fd client;
  Fd passed;

  static Result<Sample> make(std::span<const std::string> messages) {
    Sample sample{Fd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)),
                  Fd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)),
                  Fd(::eventfd(0, EFD_CLOEXEC))};
    const sa_family_t any_name = AF_UNIX;
    const std::string any(reinterpret_cast<const char*>(&any_name), sizeof any_name);
    TRY(bind_address(sample.listener.get(), any));
    if (::listen(sample.listener.get(), 1) != 0) return fail_errno("listen");
    TRY(connect_address(sample.client.get(), TRY(local_address(sample.listener.get()))));
    const std::array passed = {sample.passed.get()};
    for (const std::string& message : messages)
      TRY(send_descriptors(sample.client, std::as_bytes(std::span(message)), passed));
    return sample;
  }
};

bool carries_one(const QueuedMessage& message) {
  return message.descriptors.size() == 1;
}

Result<std::string> random_bytes(size_t count) {
  std::string bytes(count, '\0');
  for (size_t at = 0; at < count;) {
    ssize_t got = ::getrandom(bytes.data() + at, count - at, 0);
    if (got < 0) return fail_errno("getrandom");
    at += static_cast<size_t>(got);
  }
  return bytes;
}

}  // namespace

// The kernel has all memory mapped once, in one piece, and the structures of its pages in another;
// both start at a multiple of a gigabyte, which differs from boot to boot. So the fragment of a
// known message is within a gigabyte at one place only, and is looked for in all that it may be in,
// from the one on in which the message's other part is.
Result<void> UnixBacklog::find_pages(KernelAddress known, const std::string& data) {
  constexpr uint64_t kGigabyte = 1ull << 30;
  const auto buffer = TRY(memory_.read_object(known, layout_->buffer.size));
  const auto fragments = TRY(fragments_of(buffer));
  if (fragments.empty()) return fail(Code::kSystem, "a long message has no pages");
  const std::string expected = data.substr(data.size() - buffer.at<uint32_t>(layout_->buffer.paged),
                                           fragments.front().length);
  const uint64_t near = buffer.at<uint64_t>(layout_->buffer.head) / kGigabyte;
  const uint64_t within = fragments.front().page * layout_->page_factor / kGigabyte;
  const uint64_t memory = static_cast<uint64_t>(::sysconf(_SC_PHYS_PAGES)) * kPageSize;
  const uint64_t farthest = 2 * (memory / kGigabyte) + 16;  // there are holes in it
  for (uint64_t distance = 0; distance <= farthest; ++distance)
    for (const uint64_t place : {near + distance, near - distance}) {
      pages_start_ = (place - within) * kGigabyte;
      auto seen = memory_.read(address_of(fragments.front()), expected.size());
      if (seen && *seen == expected) return {};
    }
  return fail(Code::kSystem, "the pages of a message are nowhere");
}

Result<void> UnixBacklog::learn() {
  const std::array<std::string, 2> sent = {"short", TRY(random_bytes(8 * kPageSize))};
  const auto sample = TRY(Sample::make(sent));
  const auto ends = TRY(buffers_of(TRY(sock_of(sample.listener.get()))));
  const auto buffers = ends.empty() ? ends
                                    : TRY(buffers_of(TRY(memory_.read_value<KernelAddress>(
                                          ends.front() + layout_->buffer.sock))));
  if (buffers.size() != sent.size()) return fail(Code::kSystem, "its messages are not seen");
  TRY(find_pages(buffers.back(), sent.back()));
  const std::array open = {sample.client.get(), sample.passed.get()};
  const auto waiting = TRY(read(sample.listener.get(), TRY(own_pid_namespace()), open));
  struct stat client{};
  if (::fstat(sample.client.get(), &client) != 0) return fail_errno("stat");
  const bool same = waiting.size() == 1 && waiting[0].client_inode == client.st_ino &&
                    waiting[0].client.pid == ::getpid() && waiting[0].client.uid == ::geteuid() &&
                    waiting[0].client.gid == ::getegid() &&
                    std::ranges::equal(waiting[0].received, sent, {}, &QueuedMessage::data) &&
                    std::ranges::all_of(waiting[0].received, carries_one);
  if (!same) return fail(Code::kSystem, "it is not what it is known to be");
  return {};
}

}  // namespace martlet::sys
