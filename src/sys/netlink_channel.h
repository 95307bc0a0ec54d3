// Netlink messages as the kernel tells and takes them, for objects that nobody has to understand in
// full: attributes that are told in a dump are those that make the same object again.
//
// A channel belongs to the network namespace of the thread that opened it; one thread at a time
// uses it, from any namespace.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.h"
#include "base/result.h"

namespace martlet::sys {

struct NetlinkAttribute {
  uint16_t type = 0;  // with the flags of NLA_TYPE_MASK's complement
  std::string value;

  uint16_t number() const;
};

struct NetlinkMessage {
  uint16_t type = 0;
  std::string header;  // the structure before the attributes
  std::vector<NetlinkAttribute> attributes;

  const std::string* find(uint16_t number) const;  // null if it has no such attribute
};

// Bytes of a plain structure or number, and back; a value of another size gives zeros.
template <typename T>
std::string bytes_of(const T& value) {
  return std::string(reinterpret_cast<const char*>(&value), sizeof value);
}
template <typename T>
T value_of(std::string_view bytes) {
  T value{};
  if (bytes.size() == sizeof value) bytes.copy(reinterpret_cast<char*>(&value), sizeof value);
  return value;
}

// Attributes one after the other, as they stand in a message and inside of a nested attribute.
std::vector<NetlinkAttribute> parse_attributes(std::string_view bytes);
std::string join_attributes(std::span<const NetlinkAttribute> attributes);

class NetlinkChannel {
 public:
  // `protocol` is NETLINK_ROUTE, ...; kUnsupported if the kernel lacks it.
  static Result<NetlinkChannel> open(int protocol);

  // All messages that answer, with headers of that size. kUnsupported if the kernel does not know
  // the question.
  Result<std::vector<NetlinkMessage>> dump(const NetlinkMessage& question, size_t header_size);
  // The one message that answers.
  Result<NetlinkMessage> ask(const NetlinkMessage& question, size_t header_size);
  // `flags` are NLM_F_CREATE, ...
  Result<void> change(const NetlinkMessage& message, uint16_t flags);
  // All or nothing: an nftables transaction.
  Result<void> change_together(std::span<const NetlinkMessage> messages, uint16_t flags);

 private:
  explicit NetlinkChannel(Fd socket) : socket_(std::move(socket)) {}
  Result<void> send(std::string_view bytes);
  Result<std::string> receive();
  Result<void> collect(uint32_t sequence, size_t header_size, std::vector<NetlinkMessage>& out);

  Fd socket_;
  uint32_t sequence_ = 0;
};

}  // namespace martlet::sys
