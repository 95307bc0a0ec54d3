#include "agent/exit_watcher.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>

#include "sys/exit_code.h"

namespace martlet::agent {
namespace {

bool has_ended(const Fd& pidfd) {
  pollfd query{pidfd.get(), POLLIN, 0};
  return poll(&query, 1, 0) == 1;
}

}  // namespace

Result<std::unique_ptr<ExitWatcher>> ExitWatcher::start(OnExit on_exit) {
  Fd epoll(epoll_create1(EPOLL_CLOEXEC));
  if (!epoll.valid()) return fail_errno("epoll_create1");
  Fd wake(eventfd(0, EFD_CLOEXEC));
  if (!wake.valid()) return fail_errno("eventfd");
  epoll_event event{.events = EPOLLIN, .data = {.fd = wake.get()}};
  if (epoll_ctl(epoll.get(), EPOLL_CTL_ADD, wake.get(), &event) != 0)
    return fail_errno("epoll_ctl");
  std::unique_ptr<ExitWatcher> watcher(
      new ExitWatcher(std::move(on_exit), std::move(epoll), std::move(wake)));
  watcher->thread_ = std::thread([raw = watcher.get()] { raw->loop(); });
  return watcher;
}

ExitWatcher::ExitWatcher(OnExit on_exit, Fd epoll, Fd wake)
    : on_exit_(std::move(on_exit)), epoll_(std::move(epoll)), wake_(std::move(wake)) {}

ExitWatcher::~ExitWatcher() {
  const uint64_t one = 1;
  (void)!write(wake_.get(), &one, sizeof one);
  if (thread_.joinable()) thread_.join();
}

Result<void> ExitWatcher::watch(const std::string& name, HostPid init, Fd pidfd) {
  const std::lock_guard lock(mutex_);
  epoll_event event{.events = EPOLLIN, .data = {.fd = pidfd.get()}};
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, pidfd.get(), &event) != 0)
    return fail_errno("epoll_ctl");
  watched_.insert_or_assign(name, Watched{init, std::move(pidfd)});
  return {};
}

void ExitWatcher::forget(const std::string& name) {
  const std::lock_guard lock(mutex_);
  const auto found = watched_.find(name);
  if (found == watched_.end()) return;
  epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, found->second.pidfd.get(), nullptr);
  watched_.erase(found);
}

void ExitWatcher::loop() {
  for (;;) {
    epoll_event event{};
    const int count = epoll_wait(epoll_.get(), &event, 1, -1);
    if (count <= 0) continue;
    if (event.data.fd == wake_.get()) return;
    handle(event.data.fd);
  }
}

void ExitWatcher::handle(int pidfd) {
  std::string name;
  Watched ended;
  {
    const std::lock_guard lock(mutex_);
    const auto found = std::ranges::find_if(
        watched_, [&](const auto& entry) { return entry.second.pidfd.get() == pidfd; });
    // The event may be about a descriptor that was forgotten and whose number is in use again.
    if (found == watched_.end() || !has_ended(found->second.pidfd)) return;
    name = found->first;
    ended = std::move(found->second);
    epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, pidfd, nullptr);
    watched_.erase(found);
  }
  on_exit_(name, sys::exit_code_of(ended.init, ended.pidfd));
}

}  // namespace martlet::agent
