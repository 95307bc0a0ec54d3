#include "sys/netlink_channel.h"

#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <tuple>

namespace martlet::sys {
namespace {

// The kernel answers within the call or not at all, but for a notification that is lost.
constexpr timeval kDeadline = {.tv_sec = 10, .tv_usec = 0};
constexpr int kReceiveBuffer = 8 << 20;

void pad(std::string& bytes) {
  bytes.resize(NLMSG_ALIGN(bytes.size()));
}

std::string encode(const NetlinkMessage& message, uint16_t flags, uint32_t sequence) {
  std::string body = message.header;
  pad(body);
  body += join_attributes(message.attributes);
  const nlmsghdr header{.nlmsg_len = static_cast<uint32_t>(NLMSG_HDRLEN + body.size()),
                        .nlmsg_type = message.type,
                        .nlmsg_flags = static_cast<uint16_t>(flags | NLM_F_REQUEST),
                        .nlmsg_seq = sequence,
                        .nlmsg_pid = 0};
  std::string bytes = bytes_of(header) + body;
  pad(bytes);
  return bytes;
}

NetlinkMessage decode(const nlmsghdr& header, std::string_view body, size_t header_size) {
  NetlinkMessage message{.type = header.nlmsg_type, .header = {}, .attributes = {}};
  message.header = body.substr(0, header_size);
  body.remove_prefix(std::min<size_t>(body.size(), NLMSG_ALIGN(header_size)));
  message.attributes = parse_attributes(body);
  return message;
}

// The rest of an error message: the request, if it is not capped, and what the kernel says of it.
std::string explanation(const nlmsghdr& header, std::string_view body) {
  if ((header.nlmsg_flags & NLM_F_ACK_TLVS) == 0) return {};
  size_t skipped = sizeof(nlmsgerr);
  if ((header.nlmsg_flags & NLM_F_CAPPED) == 0) {
    const auto error = value_of<nlmsgerr>(body.substr(0, sizeof(nlmsgerr)));
    skipped += NLMSG_ALIGN(error.msg.nlmsg_len) - NLMSG_HDRLEN;
  }
  if (skipped >= body.size()) return {};
  for (const NetlinkAttribute& attribute : parse_attributes(body.substr(skipped)))
    if (attribute.number() == NLMSGERR_ATTR_MSG)
      return ": " + attribute.value.substr(0, attribute.value.find('\0'));
  return {};
}

Result<void> outcome_of(const nlmsghdr& header, std::string_view body) {
  if (body.size() < sizeof(int)) return fail(Code::kSystem, "a netlink answer is cut off");
  const int error = -value_of<int>(body.substr(0, sizeof(int)));
  if (error == 0) return {};
  const std::string said = header.nlmsg_type == NLMSG_ERROR ? explanation(header, body) : "";
  if (error == EOPNOTSUPP || error == EPROTONOSUPPORT)
    return fail(Code::kUnsupported, "the kernel lacks it" + said);
  return std::unexpected(Error::from_errno(error, "netlink" + said));
}

NetlinkMessage batch_mark(uint16_t type) {
  const nfgenmsg header{.nfgen_family = AF_UNSPEC,
                        .version = NFNETLINK_V0,
                        .res_id = __builtin_bswap16(NFNL_SUBSYS_NFTABLES)};
  return {.type = type, .header = bytes_of(header), .attributes = {}};
}

}  // namespace

uint16_t NetlinkAttribute::number() const {
  return type & NLA_TYPE_MASK;
}

const std::string* NetlinkMessage::find(uint16_t number) const {
  const auto found = std::ranges::find(attributes, number, &NetlinkAttribute::number);
  return found == attributes.end() ? nullptr : &found->value;
}

std::vector<NetlinkAttribute> parse_attributes(std::string_view bytes) {
  std::vector<NetlinkAttribute> attributes;
  while (bytes.size() >= sizeof(nlattr)) {
    const auto head = value_of<nlattr>(bytes.substr(0, sizeof(nlattr)));
    if (head.nla_len < sizeof(nlattr) || head.nla_len > bytes.size()) break;
    attributes.push_back(
        {head.nla_type, std::string(bytes.substr(NLA_HDRLEN, head.nla_len - NLA_HDRLEN))});
    bytes.remove_prefix(std::min<size_t>(bytes.size(), NLA_ALIGN(head.nla_len)));
  }
  return attributes;
}

std::string join_attributes(std::span<const NetlinkAttribute> attributes) {
  std::string bytes;
  for (const NetlinkAttribute& attribute : attributes) {
    const nlattr head{.nla_len = static_cast<uint16_t>(NLA_HDRLEN + attribute.value.size()),
                      .nla_type = attribute.type};
    bytes += bytes_of(head) + attribute.value;
    pad(bytes);
  }
  return bytes;
}

Result<NetlinkChannel> NetlinkChannel::open(int protocol) {
  Fd socket(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol));
  if (!socket.valid() && errno == EPROTONOSUPPORT)
    return fail(Code::kUnsupported, "the kernel lacks a netlink protocol");
  if (!socket.valid()) return fail_errno("netlink socket");
  const int on = 1;
  std::ignore = ::setsockopt(socket.get(), SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof on);
  std::ignore = ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVBUFFORCE, &kReceiveBuffer,
                             sizeof kReceiveBuffer);
  if (::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &kDeadline, sizeof kDeadline) != 0)
    return fail_errno("deadline of a netlink socket");
  return NetlinkChannel(std::move(socket));
}

Result<void> NetlinkChannel::send(std::string_view bytes) {
  sockaddr_nl kernel{};
  kernel.nl_family = AF_NETLINK;
  if (::sendto(socket_.get(), bytes.data(), bytes.size(), 0,
               reinterpret_cast<const sockaddr*>(&kernel), sizeof kernel) < 0)
    return fail_errno("netlink request");
  return {};
}

Result<std::string> NetlinkChannel::receive() {
  const ssize_t size = ::recv(socket_.get(), nullptr, 0, MSG_PEEK | MSG_TRUNC);
  if (size < 0) return fail_errno("netlink answer");
  std::string bytes(static_cast<size_t>(size), '\0');
  if (::recv(socket_.get(), bytes.data(), bytes.size(), 0) < 0) return fail_errno("netlink answer");
  return bytes;
}

// Until the end of a dump, or an acknowledgement.
Result<void> NetlinkChannel::collect(uint32_t sequence, size_t header_size,
                                     std::vector<NetlinkMessage>& out) {
  for (;;) {
    const std::string bytes = TRY(receive());
    std::string_view rest = bytes;
    while (rest.size() >= NLMSG_HDRLEN) {
      const auto header = value_of<nlmsghdr>(rest.substr(0, NLMSG_HDRLEN));
      if (header.nlmsg_len < NLMSG_HDRLEN || header.nlmsg_len > rest.size())
        return fail(Code::kSystem, "a netlink answer is cut off");
      const std::string_view body = rest.substr(NLMSG_HDRLEN, header.nlmsg_len - NLMSG_HDRLEN);
      rest.remove_prefix(std::min<size_t>(rest.size(), NLMSG_ALIGN(header.nlmsg_len)));
      if (header.nlmsg_seq != sequence) continue;
      if ((header.nlmsg_flags & NLM_F_DUMP_INTR) != 0)
        return fail(Code::kSystem, "the network changes while it is looked at");
      if (header.nlmsg_type == NLMSG_ERROR || header.nlmsg_type == NLMSG_DONE)
        return outcome_of(header, body);
      out.push_back(decode(header, body, header_size));
    }
  }
}

Result<std::vector<NetlinkMessage>> NetlinkChannel::dump(const NetlinkMessage& question,
                                                         size_t header_size) {
  TRY(send(encode(question, NLM_F_DUMP, ++sequence_)));
  std::vector<NetlinkMessage> answers;
  TRY(collect(sequence_, header_size, answers));
  return answers;
}

Result<NetlinkMessage> NetlinkChannel::ask(const NetlinkMessage& question, size_t header_size) {
  TRY(send(encode(question, NLM_F_ACK, ++sequence_)));
  std::vector<NetlinkMessage> answers;
  TRY(collect(sequence_, header_size, answers));
  if (answers.size() != 1) return fail(Code::kSystem, "a netlink question without an answer");
  return std::move(answers.front());
}

Result<void> NetlinkChannel::change(const NetlinkMessage& message, uint16_t flags) {
  TRY(send(encode(message, flags | NLM_F_ACK, ++sequence_)));
  std::vector<NetlinkMessage> answers;
  return collect(sequence_, message.header.size(), answers);
}

// The answers come after the last message: the errors in their order, then the acknowledgement.
Result<void> NetlinkChannel::change_together(std::span<const NetlinkMessage> messages,
                                             uint16_t flags) {
  const uint32_t sequence = ++sequence_;
  std::string bytes = encode(batch_mark(NFNL_MSG_BATCH_BEGIN), 0, sequence);
  for (const NetlinkMessage& message : messages)
    bytes += encode(message, flags | (&message == &messages.back() ? NLM_F_ACK : 0), sequence);
  bytes += encode(batch_mark(NFNL_MSG_BATCH_END), 0, sequence);
  const auto size = static_cast<int>(bytes.size() * 2);
  std::ignore = ::setsockopt(socket_.get(), SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size);
  TRY(send(bytes));
  std::vector<NetlinkMessage> answers;
  return collect(sequence, sizeof(nfgenmsg), answers);
}

}  // namespace martlet::sys
