#include "demo/dataset.h"

#include <fmt/format.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>

#include "demo/connection.h"
#include "demo/resp.h"

namespace martlet::demo {
namespace {

constexpr size_t kValueSize = 4096;
constexpr uint64_t kBatch = 256;
constexpr uint64_t kSeedBase = uint64_t{1} << 63;

std::string key_name(uint64_t number) {
  return fmt::format("data:{}", number);
}
std::string value_of(uint64_t number) {
  return make_value(kSeedBase + number, kValueSize);
}

Result<void> send_all(const Fd& socket, const std::string& bytes) {
  return write_full(socket.get(), std::as_bytes(std::span(bytes)));
}

Result<Reply> read_reply(const Fd& socket, ReplyParser& parser) {
  std::array<char, 65536> buffer;
  while (true) {
    auto reply = TRY(parser.next());
    if (reply) return *reply;
    ssize_t got = ::recv(socket.get(), buffer.data(), buffer.size(), 0);
    if (got < 0) return fail_errno("receive");
    if (got == 0) return fail(Code::kPeerLost, "the server closed the connection of the data set");
    parser.feed({buffer.data(), static_cast<size_t>(got)});
  }
}

}  // namespace

Result<void> Dataset::load() {
  ReplyParser parser;
  for (uint64_t first = 0; first < values_; first += kBatch) {
    uint64_t last = std::min(first + kBatch, values_);
    std::string requests;
    for (uint64_t i = first; i < last; ++i)
      append_request(requests, {"SET", key_name(i), value_of(i)});
    TRY(send_all(socket_, requests));
    for (uint64_t i = first; i < last; ++i) {
      Reply reply = TRY(read_reply(socket_, parser));
      if (reply.text != "OK")
        return fail(Code::kSystem, "the server refused: " + reply.to_string());
    }
  }
  return {};
}

Result<void> Dataset::verify(Failures& failures) {
  ReplyParser parser;
  for (uint64_t first = 0; first < values_; first += kBatch) {
    uint64_t last = std::min(first + kBatch, values_);
    std::string requests;
    for (uint64_t i = first; i < last; ++i) append_request(requests, {"GET", key_name(i)});
    TRY(send_all(socket_, requests));
    for (uint64_t i = first; i < last; ++i) {
      Reply reply = TRY(read_reply(socket_, parser));
      if (reply.kind != Reply::Kind::kBulk || reply.text != value_of(i)) {
        failures.note(&Failures::damaged, fmt::format("{} is not as written", key_name(i)));
      }
    }
  }
  return {};
}

}  // namespace martlet::demo
