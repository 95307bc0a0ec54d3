#include "stand/requests.h"

#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>

#include "sys/namespaces.h"
#include "sys/net_address.h"

namespace martlet::stand {
namespace {

constexpr auto kPatience = std::chrono::seconds(60);  // for one answer
constexpr auto kBetweenTries = std::chrono::milliseconds(10);
constexpr uint64_t kStride = 7919;  // the pages that are asked for: all, in no order

Result<Fd> try_to_connect(const LoadAddress& address) {
  Fd connection(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!connection.valid()) return fail_errno("socket");
  const sys::IpAddress ip = TRY(sys::parse_ip(address.ip));
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(address.port);
  std::copy_n(ip.bytes.data(), sizeof to.sin_addr, reinterpret_cast<uint8_t*>(&to.sin_addr));
  // A SYN that is lost is sent again after a second; a new try is quicker.
  const timeval limit{.tv_sec = 0, .tv_usec = 200'000};
  (void)::setsockopt(connection.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  if (::connect(connection.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0)
    return fail_errno("connection to the load");
  const int on = 1;
  (void)::setsockopt(connection.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return connection;
}

double percentile(std::vector<double>& latencies, double share) {
  if (latencies.empty()) return 0;
  const auto at = latencies.begin() +
                  static_cast<std::ptrdiff_t>(share * static_cast<double>(latencies.size() - 1));
  std::ranges::nth_element(latencies, at);
  return *at;
}

}  // namespace

Result<Fd> connect_to_load(const Fd& network, const LoadAddress& address, Nanoseconds timeout) {
  SystemClock clock;
  const Stopwatch watch(clock);
  Fd connection;
  TRY(sys::run_inside(network, sys::NamespaceKind::kNetwork, [&]() -> Result<void> {
    for (;;) {
      auto tried = try_to_connect(address);
      if (tried) {
        connection = std::move(*tried);
        return {};
      }
      if (watch.elapsed() > timeout)
        return fail(Code::kTimeout,
                    fmt::format("the load does not answer: {}", tried.error().to_string()));
      clock.sleep_for(kBetweenTries);
    }
  }));
  return connection;
}

Requests::Requests(Fd connection, double per_second, uint64_t pages)
    : connection_(std::move(connection)),
      interval_(static_cast<int64_t>(1e9 / per_second)),
      pages_(pages),
      thread_([this] { outcome_ = ask_and_listen(); }) {}

Requests::~Requests() {
  over_ = true;
  if (thread_.joinable()) thread_.join();
}

// Request i is due at begin + i * interval, and so is its answer in turn.
Result<void> Requests::ask_and_listen() {
  uint64_t asked = 0;
  uint64_t answered = 0;
  Nanoseconds last_answer = begin_;
  while (!over_ || answered < asked) {
    const Nanoseconds now = clock_.now();
    const Nanoseconds due = begin_ + static_cast<int64_t>(asked) * interval_;
    if (!over_ && due <= now) {
      const uint64_t page = asked++ * kStride % pages_;
      TRY(write_full(connection_.get(), std::as_bytes(std::span(&page, 1))));
      continue;
    }
    if (answered == asked) last_answer = now;
    if (now - last_answer > kPatience)
      return fail(Code::kTimeout, "the load has not answered for a minute");
    const Nanoseconds nap =
        std::clamp<Nanoseconds>(due - now, Nanoseconds(0), std::chrono::milliseconds(100));
    const timespec timeout{.tv_sec = 0, .tv_nsec = over_ ? 10'000'000 : nap.count()};
    pollfd readable{connection_.get(), POLLIN, 0};
    if (::ppoll(&readable, 1, &timeout, nullptr) <= 0) continue;
    TRY(receive(answered));
    last_answer = clock_.now();
  }
  return {};
}

Result<void> Requests::receive(uint64_t& answered) {
  uint64_t number = 0;
  if (TRY(read_full(connection_.get(), std::as_writable_bytes(std::span(&number, 1)))) !=
      sizeof number)
    return fail(Code::kPeerLost, "the load closed the client's connection");
  const uint64_t expected = answered * kStride % pages_;
  if (number != expected)
    return fail(Code::kBadImage,
                fmt::format("page {} of the load holds the number {}", expected, number));
  const Nanoseconds due = begin_ + static_cast<int64_t>(answered++) * interval_;
  answers_.push_back({due, clock_.now() - due});
  return {};
}

Result<models::ClientView> Requests::finish() {
  over_ = true;
  thread_.join();
  TRY(std::move(outcome_));
  std::vector<double> before;
  std::vector<double> moving;
  for (const Answer& answer : answers_)
    // A request counts as moving if its answer was still out when the move began.
    (answer.due + answer.latency < moved_at_ ? before : moving)
        .push_back(in_seconds(answer.latency));
  return view_of(std::move(before), std::move(moving));
}

models::ClientView view_of(std::vector<double> before, std::vector<double> moving) {
  constexpr double kMost = 0.99;
  return {.replies = before.size() + moving.size(),
          .usual = percentile(before, kMost),
          .moving = percentile(moving, kMost),
          .longest = percentile(moving, 1)};
}

}  // namespace martlet::stand
