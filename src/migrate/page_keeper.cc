#include "migrate/page_keeper.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <optional>
#include <set>
#include <tuple>
#include <vector>

#include "base/clock.h"
#include "base/log.h"
#include "engine/memory/arriving_memory.h"
#include "migrate/keeper_frame.h"
#include "sys/descriptor_limit.h"
#include "sys/thread_priority.h"

namespace martlet::migrate {
namespace {

constexpr int kSweepMs = 1000;
constexpr int kRetryMs = 1;
constexpr Nanoseconds kMemoryRetry = std::chrono::milliseconds(20);

std::span<const std::byte> bytes_of(const engine::Ranges& ranges) {
  return std::as_bytes(std::span(ranges));
}

class Keeper {
 public:
  Keeper(Fd listener, const std::string& socket_path)
      : listener_(std::move(listener)), mark_(completion_mark(socket_path)) {}

  Result<void> run() {
    Stopwatch since_sweep(clock_);
    while (!done()) {
      TRY(wait());
      TRY(memory_.handle_events());
      if (since_sweep.seconds() * 1000 >= kSweepMs) {
        TRY(memory_.forget_ended());
        since_sweep.restart();
      }
      tell_news();
    }
    return complete_ ? note_completion() : Result<void>{};
  }

 private:
  // Without the agent that was to tell about the processes there is nothing to keep.
  bool done() {
    complete_ = all_added_ && memory_.complete();
    return complete_ || (had_agent_ && !agent_.valid() && !all_added_);
  }

  Result<void> wait() {
    std::vector<pollfd> ready = {{listener_.get(), POLLIN, 0}, {agent_.get(), POLLIN, 0}};
    for (auto each : memory_.descriptors()) ready.push_back({each.fd, POLLIN, 0});
    int timeout = memory_.has_deferred() ? kRetryMs : kSweepMs;
    if (::poll(ready.data(), ready.size(), timeout) < 0 && errno != EINTR)
      return fail_errno("wait");
    if ((ready[0].revents & POLLIN) != 0)
      accept();
    else if (ready[1].revents != 0)
      listen_to_agent();
    return {};
  }

  // One agent at a time: the next one comes when the one before has ended.
  void accept() {
    agent_ = Fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    had_agent_ = had_agent_ || agent_.valid();
    told_.clear();
  }

  void listen_to_agent() {
    auto heard = obey();
    if (heard) return;
    if (heard.error().code() != Code::kPeerLost)
      spdlog::error("page keeper: {}", heard.error().to_string());
    agent_.reset();
  }

  Result<void> obey() {
    Fd descriptor;
    Frame frame = TRY(receive_frame(agent_, descriptor));
    switch (frame.kind) {
      case FrameKind::kAdd: return add(frame, std::move(descriptor));
      case FrameKind::kAllAdded: all_added_ = true; return {};
      case FrameKind::kPages: return put(frame);
      case FrameKind::kZeroPages:
        return memory_.put_zeros(NsPid(static_cast<pid_t>(frame.process)),
                                 {frame.address, frame.address + frame.length});
      case FrameKind::kReport: report(); return {};
      default: return fail(Code::kBadImage, "an unknown frame");
    }
  }

  Result<void> add(const Frame& frame, Fd descriptor) {
    engine::Ranges missing(frame.length / sizeof(sys::Range));
    TRY(receive_bytes(agent_, std::as_writable_bytes(std::span(missing))));
    memory_.add(NsPid(static_cast<pid_t>(frame.process)),
                sys::Userfaultfd::adopt(std::move(descriptor)), missing);
    return {};
  }

  // Memory that is short now may be there when others have given some back. Until then tasks wait
  // as they would for any other memory.
  Result<void> put(const Frame& frame) {
    pages_.resize(frame.length);
    TRY(receive_bytes(agent_, pages_));
    for (;;) {
      auto put = memory_.put(NsPid(static_cast<pid_t>(frame.process)), frame.address, pages_);
      if (put || put.error().code() != Code::kNoSpace) return put;
      TRY(memory_.handle_events());
      clock_.sleep_for(kMemoryRetry);
    }
  }

  void report() {
    for (const auto& [process, ranges] : memory_.missing())
      tell({FrameKind::kMissing, static_cast<uint32_t>(process.value), 0, bytes_of(ranges).size()},
           bytes_of(ranges));
    tell({FrameKind::kEndOfReport});
    memory_.want_again();
  }

  void tell_news() {
    if (!agent_.valid() || !all_added_) return;
    std::set<uint64_t> now;
    for (auto each : memory_.descriptors()) {
      now.insert(each.number);
      if (!told_.contains(each.number))
        tell({FrameKind::kDescriptor, 0, each.number, 0}, {}, each.fd);
    }
    for (uint64_t number : told_)
      if (!now.contains(number)) tell({FrameKind::kDropDescriptor, 0, number, 0});
    told_ = std::move(now);
    for (const engine::MissingPage& page : memory_.take_wanted())
      tell({FrameKind::kWanted, static_cast<uint32_t>(page.process.value), page.address, 0});
  }

  void tell(const Frame& frame, std::span<const std::byte> bytes = {}, int fd = -1) {
    if (!agent_.valid()) return;
    if (auto told = send_frame(agent_, frame, bytes, fd); !told) agent_.reset();
  }

  Result<void> note_completion() {
    TRY(open_file(mark_, O_CREAT | O_WRONLY, 0600));
    return {};
  }

  SystemClock clock_;
  Fd listener_;
  std::string mark_;
  Fd agent_;
  bool had_agent_ = false;
  bool all_added_ = false;
  bool complete_ = false;
  engine::ArrivingMemory memory_;
  std::set<uint64_t> told_;  // descriptors that the agent has a duplicate of
  std::vector<std::byte> pages_;
};

// Nothing that happens to the agent may end this process: not its session's signals, nor a shortage
// of memory if that can be had.
void stand_alone() {
  ::setsid();
  ::prctl(PR_SET_NAME, "martlet-keeper");
  sys::set_niceness(sys::kFirst);  // somebody waits for whatever it does
  for (int signal : {SIGINT, SIGTERM, SIGHUP, SIGPIPE}) ::signal(signal, SIG_IGN);
  sys::raise_descriptor_limit(HostPid(::getpid()));
  std::ignore = write_file("/proc/self/oom_score_adj", "-1000");
}

}  // namespace

std::string completion_mark(const std::string& socket_path) {
  return socket_path + ".complete";
}

int keep_pages(int listener, const std::string& socket_path) {
  stand_alone();
  auto kept = Keeper(Fd(listener), socket_path).run();
  if (kept) return 0;
  spdlog::error("page keeper: {}", kept.error().to_string());
  return 1;
}

}  // namespace martlet::migrate
