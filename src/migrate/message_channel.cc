#include "migrate/message_channel.h"

#include <array>
#include <cstring>

#include "base/check.h"

namespace martlet::migrate {

namespace {

Code code_named(std::string_view name) {
  constexpr std::array kCodes = {Code::kInvalidArgument, Code::kNotFound,   Code::kAlreadyExists,
                                 Code::kUnsupported,     Code::kPermission, Code::kNoSpace,
                                 Code::kTimeout,         Code::kCancelled,  Code::kPeerLost,
                                 Code::kBadImage,        Code::kGone};
  for (Code code : kCodes)
    if (code_name(code) == name) return code;
  return Code::kSystem;
}

}  // namespace

Result<void> MessageChannel::send(const protocol::Message& message) {
  size_t size = message.ByteSizeLong();
  if (size > kMaxMessageBytes)
    return fail(Code::kUnsupported, "a message of " + std::to_string(size) + " bytes is too long");
  std::vector<std::byte> bytes(sizeof(uint32_t) + size);
  auto length = static_cast<uint32_t>(size);
  std::memcpy(bytes.data(), &length, sizeof length);
  CHECK(message.SerializeToArray(bytes.data() + sizeof length, static_cast<int>(size)));
  return connection_->write(bytes);
}

Result<protocol::Message> MessageChannel::next() {
  uint32_t length = 0;
  TRY(connection_->read_exactly(std::as_writable_bytes(std::span(&length, 1))));
  if (length > kMaxMessageBytes)
    return fail(Code::kBadImage,
                "the peer announced a message of " + std::to_string(length) + " bytes");
  std::vector<std::byte> bytes(length);
  TRY(connection_->read_exactly(bytes));
  protocol::Message message;
  if (!message.ParseFromArray(bytes.data(), static_cast<int>(length)))
    return fail(Code::kBadImage, "the peer sent a message that is not readable");
  return message;
}

Result<protocol::Message> MessageChannel::receive() {
  protocol::Message message = TRY(next());
  if (message.has_failure())
    return fail(code_named(message.failure().code()), message.failure().message());
  return message;
}

Result<protocol::Message> MessageChannel::expect(protocol::Message::KindCase kind) {
  protocol::Message message = TRY(receive());
  if (message.kind_case() == kind) return message;
  if (message.has_abort()) return fail(Code::kCancelled, message.abort().reason());
  return fail(Code::kBadImage, "the peer sent message " + std::to_string(message.kind_case()) +
                                   " instead of " + std::to_string(kind));
}

protocol::Message make_failure(const Error& error) {
  protocol::Message message;
  message.mutable_failure()->set_code(std::string(code_name(error.code())));
  message.mutable_failure()->set_message(error.to_string());
  return message;
}

}  // namespace martlet::migrate
