#include "demo/connection.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace martlet::demo {
namespace {

constexpr size_t kKeys = 16;
constexpr std::string_view kAlphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
constexpr timeval kBlockedLimit = {20, 0};  // of a connect, and of blocking transfers

}  // namespace

Result<Fd> connect_to(const std::string& address, uint16_t port) {
  sockaddr_in peer = {};
  peer.sin_family = AF_INET;
  peer.sin_port = htons(port);
  if (inet_pton(AF_INET, address.c_str(), &peer.sin_addr) != 1) {
    return fail(Code::kInvalidArgument, fmt::format("'{}' is not an IPv4 address", address));
  }
  Fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return fail_errno("socket");
  int on = 1;
  ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &kBlockedLimit, sizeof kBlockedLimit);
  ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &kBlockedLimit, sizeof kBlockedLimit);
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&peer), sizeof peer) != 0) {
    return fail_errno(fmt::format("connect to {}:{}", address, port));
  }
  return fd;
}

std::string make_value(uint64_t seed, size_t size) {
  std::string value = fmt::format("{:016x}", seed);
  uint64_t state = seed * 0x9e3779b97f4a7c15 + 1;
  while (value.size() < size) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    for (int shift = 0; shift < 60; shift += 6) value += kAlphabet[state >> shift & 63];
  }
  value.resize(size);
  return value;
}

Connection::Connection(Fd socket, std::string name, size_t value_size)
    : socket_(std::move(socket)),
      name_(std::move(name)),
      seed_(std::hash<std::string>{}(name_)),
      value_size_(value_size),
      versions_(kKeys) {}

std::string Connection::key_name(size_t key) const {
  return fmt::format("{}:{}", name_, key);
}

std::string Connection::value_of(size_t key) const {
  return make_value(seed_ + (key << 40) + versions_[key], value_size_);
}

// A cycle of write, read of another key, counter.
void Connection::issue(Nanoseconds intended) {
  uint64_t number = issued_++;
  size_t key = number / 3 % kKeys;
  switch (number % 3) {
    case 0:
      versions_[key] = number + 1;
      append_request(output_, {"SET", key_name(key), value_of(key)});
      expected_.push_back({intended, {Reply::Kind::kStatus, "OK", 0}});
      break;
    case 1: issue_read(intended, (key * 7 + 3) % kKeys); break;
    default:
      append_request(output_, {"INCR", name_ + ":counter"});
      expected_.push_back(
          {intended, {Reply::Kind::kInteger, "", static_cast<int64_t>(++counter_)}});
  }
}

void Connection::issue_read(Nanoseconds intended, size_t key) {
  append_request(output_, {"GET", key_name(key)});
  Reply right = versions_[key] == 0 ? Reply{} : Reply{Reply::Kind::kBulk, value_of(key), 0};
  expected_.push_back({intended, std::move(right)});
}

void Connection::issue_final_reads(Nanoseconds now) {
  for (size_t key = 0; key < kKeys; ++key) issue_read(now, key);
}

void Connection::flush(Report& report) {
  while (alive() && wants_to_write()) {
    ssize_t done =
        ::send(fd(), output_.data() + sent_, output_.size() - sent_, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (done < 0 && errno == EINTR) continue;
    if (done < 0 && errno == EAGAIN) return;
    if (done < 0) return close(report, fmt::format("send: {}", std::strerror(errno)));
    sent_ += static_cast<size_t>(done);
  }
  output_.clear();
  sent_ = 0;
}

void Connection::receive(const Clock& clock, Report& report) {
  std::array<char, 65536> buffer;
  while (alive()) {
    ssize_t got = ::recv(fd(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN) return;
    if (got < 0) return close(report, fmt::format("receive: {}", std::strerror(errno)));
    if (got == 0) return close(report, "closed by the server");
    parser_.feed({buffer.data(), static_cast<size_t>(got)});
    Nanoseconds now = clock.now();
    while (true) {
      auto reply = parser_.next();
      if (!reply) {
        report.failures().note(&Failures::errors, reply.error().to_string());
        return close(report, "the stream is not the protocol");
      }
      if (!*reply) break;
      verify(**reply, now, report);
    }
  }
}

void Connection::verify(const Reply& reply, Nanoseconds now, Report& report) {
  if (expected_.empty()) {
    return report.failures().note(&Failures::wrong, "a reply to no request: " + reply.to_string());
  }
  Expected expected = std::move(expected_.front());
  expected_.pop_front();
  if (reply == expected.reply) return report.add_reply(expected.intended, now);
  auto counter = reply.kind == Reply::Kind::kError ? &Failures::errors : &Failures::wrong;
  report.failures().note(counter, fmt::format("{}: got {} instead of {}", name_, reply.to_string(),
                                              expected.reply.to_string()));
}

void Connection::close(Report& report, const std::string& why) {
  report.failures().note(&Failures::resets, name_ + ": " + why);
  socket_.reset();
}

}  // namespace martlet::demo
