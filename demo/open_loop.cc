#include "demo/open_loop.h"

#include <fmt/format.h>
#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <csignal>

namespace martlet::demo {
namespace {

timespec to_timespec(Nanoseconds duration) {
  duration = std::max(duration, Nanoseconds::zero());
  auto seconds = std::chrono::duration_cast<std::chrono::seconds>(duration);
  return {seconds.count(), (duration - seconds).count()};
}

}  // namespace

OpenLoop::OpenLoop(std::vector<Connection> connections, double requests_per_second,
                   const Clock& clock)
    : connections_(std::move(connections)),
      interval_(static_cast<int64_t>(1e9 / requests_per_second)),
      clock_(clock) {}

Result<void> OpenLoop::run(const Fd& stop, Nanoseconds limit, Report& report) {
  next_due_ = clock_.now();
  Nanoseconds end = next_due_ + limit;
  while (clock_.now() < end) {
    issue_due(clock_.now(), report);
    if (TRY(poll_once(&stop, std::min(next_due_, end), report))) break;
  }
  report.finish(clock_.now());
  return {};
}

Result<void> OpenLoop::drain(Nanoseconds limit, Report& report) {
  Nanoseconds now = clock_.now();
  Nanoseconds end = now + limit;
  for (Connection& connection : connections_) {
    if (!connection.alive()) continue;
    connection.issue_final_reads(now);
    connection.flush(report);
  }
  while (outstanding() > 0 && clock_.now() < end) TRY(poll_once(nullptr, end, report));
  for (size_t i = 0; i < connections_.size(); ++i) {
    for (size_t n = connections_[i].outstanding(); n > 0; --n) {
      report.failures().note(&Failures::lost, fmt::format("connection {}: no reply", i));
    }
  }
  return {};
}

void OpenLoop::issue_due(Nanoseconds now, Report& report) {
  for (; next_due_ <= now; next_due_ += interval_) {
    Connection& connection = connections_[next_connection_++ % connections_.size()];
    if (!connection.alive()) continue;
    connection.issue(next_due_);
    connection.flush(report);
  }
}

Result<bool> OpenLoop::poll_once(const Fd* stop, Nanoseconds until, Report& report) {
  std::vector<pollfd> events;
  for (const Connection& connection : connections_) {
    short wanted = connection.wants_to_write() ? POLLIN | POLLOUT : POLLIN;
    events.push_back({connection.fd(), wanted, 0});  // poll ignores the -1 of a closed connection
  }
  events.push_back({stop != nullptr ? stop->get() : -1, POLLIN, 0});
  timespec timeout = to_timespec(until - clock_.now());
  int ready = ::ppoll(events.data(), events.size(), &timeout, nullptr);
  if (ready < 0 && errno != EINTR) return fail_errno("poll");
  if (ready <= 0) return false;
  for (size_t i = 0; i < connections_.size(); ++i) {
    if (events[i].revents == 0) continue;
    connections_[i].receive(clock_, report);
    connections_[i].flush(report);
  }
  return events.back().revents != 0;
}

size_t OpenLoop::outstanding() const {
  size_t total = 0;
  for (const Connection& connection : connections_) {
    if (connection.alive()) total += connection.outstanding();
  }
  return total;
}

}  // namespace martlet::demo
