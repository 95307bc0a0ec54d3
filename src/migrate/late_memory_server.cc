#include "migrate/late_memory_server.h"

#include <poll.h>
#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <deque>
#include <thread>

#include "base/log.h"
#include "engine/memory/pages.h"
#include "image/byte_stream.h"
#include "image/compression.h"
#include "migrate/short_queue.h"
#include "sys/procfs.h"
#include "sys/target_memory.h"
#include "sys/thread_priority.h"

namespace martlet::migrate {
namespace {

constexpr std::chrono::milliseconds kConnectTimeout{5000};
constexpr std::chrono::milliseconds kIdleTimeout = std::chrono::hours(24);
constexpr std::chrono::milliseconds kRetryInterval{200};
constexpr std::chrono::milliseconds kProgressInterval{100};
// Everything is on its way: so long may the last of it take to arrive.
constexpr Nanoseconds kLastPagesTimeout = std::chrono::seconds(30);

// As much as may stand before a wanted page in the same link.
constexpr uint64_t kPushBytes = 64u << 10;
// Around a wanted page.
constexpr uint64_t kNeighbourhood = 64u << 10;

// The memory of tasks that do not run, whoever traces them.
class FrozenMemory {
 public:
  static Result<FrozenMemory> open(HostPid init) {
    FrozenMemory memory;
    // A process in a PID namespace further in is known by its number in that of the init.
    const size_t levels = TRY(sys::read_status(init)).ns_tgids.size();
    for (HostPid pid : TRY(sys::list_namespace_processes(init))) {
      auto status = sys::read_status(pid);
      const HostPid living = sys::living_thread(pid);
      auto opened = sys::ForcedMemory::open(living);
      if (!status || !opened) continue;  // a zombie
      memory.processes_.emplace(status->ns_tgids.at(levels - 1),
                                Process{living, std::move(*opened)});
    }
    return memory;
  }

  // What may not be read in the usual way is read as a debugger would.
  Result<void> read(const PageSpan& span, std::span<std::byte> into) const {
    const Process& process = TRY_IN(find(span.process), "late memory");
    if (sys::read_memory(process.pid, TargetAddr(span.range.start), into)) return {};
    return process.memory.read(TargetAddr(span.range.start), into);
  }

  Result<uint64_t> put(const PageSpan& span, engine::PageWriter& writer) const {
    const Process& process = TRY_IN(find(span.process), "late memory");
    engine::PageReader reader{process.pid, span.process, process.memory, engine::ReadMode::kPinned};
    auto put = writer.put_ranges(reader, PROT_READ, engine::Zeros::kPut, {span.range});
    if (put || put.error().code() == Code::kPeerLost) return put;
    return writer.put_ranges(reader, PROT_NONE, engine::Zeros::kPut, {span.range});
  }

 private:
  struct Process {
    HostPid pid;
    sys::ForcedMemory memory;
  };
  Result<std::reference_wrapper<const Process>> find(NsPid pid) const {
    auto found = processes_.find(pid);
    if (found != processes_.end()) return std::cref(found->second);
    return fail(Code::kBadImage, "there is no process " + to_string(pid));
  }
  std::map<NsPid, Process> processes_;
};

// Both connections of one attempt.
class Session {
 public:
  Session(const Environment& environment, const FrozenMemory& memory,
          const LateMemoryOptions& options, Nanoseconds push_at, LateMemoryProgress& progress)
      : environment_(environment),
        memory_(memory),
        options_(options),
        push_at_(push_at),
        progress_(progress),
        peer_(environment.tls, environment.host, options.destination, options.migration) {
    if (options.limiter != nullptr) peer_.set_rate_limiter(*options.limiter);
    sys::set_niceness(sys::kFirst);  // what is wanted goes before what is pushed
  }
  ~Session() {
    stop_push();
    sys::set_niceness(sys::kUsual);
  }
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // Until nothing is missing any more.
  Result<void> run() {
    messages_.emplace(TRY(peer_.open_channel(protocol::Channel::MEMORY, limits(kConnectTimeout))));
    messages_->connection().set_limits(limits(kIdleTimeout));
    if (TRY(receive_missing())) return {};
    push_connection_ = TRY(peer_.open_channel(protocol::Channel::PUSH, limits(kConnectTimeout)));
    push_connection_->set_limits(limits(kIdleTimeout));
    push_ = std::thread([this] { push(); });
    for (;;) {
      if (TRY(has_message())) {
        auto message = TRY(messages_->receive());
        if (message.has_memory_complete()) return {};
        if (!message.has_wanted_page())
          return fail(Code::kBadImage, "the destination sent something else than a wanted page");
        TRY(answer(message.wanted_page()));
      } else if (!neighbours_.empty()) {
        TRY(send_neighbours());
      } else {
        TRY(check_push());
      }
      report();
    }
  }

 private:
  WaitLimits limits(std::chrono::milliseconds timeout) const {
    return {.timeout = timeout, .cancellation = &environment_.stopping};
  }

  // True: nothing is.
  Result<bool> receive_missing() {
    for (;;) {
      auto message = TRY(messages_->receive());
      if (message.has_memory_complete()) return true;
      if (!message.has_missing_memory())
        return fail(Code::kBadImage, "the destination does not say what is missing");
      for (const protocol::PageRun& run : message.missing_memory().runs())
        plan_.add({NsPid(static_cast<pid_t>(run.process())),
                   {run.address(), run.address() + run.length()}});
      if (message.missing_memory().last()) return false;
    }
  }

  // Waits only if there is nothing else to do.
  Result<bool> has_message() {
    TlsConnection& connection = messages_->connection();
    if (connection.has_buffered_input()) return true;
    auto waiting = neighbours_.empty() ? kProgressInterval : std::chrono::milliseconds(0);
    auto ready = wait_ready(connection.fd(), POLLIN, limits(waiting));
    if (ready) return true;
    if (ready.error().code() == Code::kTimeout) return false;
    return std::unexpected(std::move(ready.error()));
  }

  // A page that is on its way with the push already may stand behind a lot there, so it is sent
  // once more; the second to arrive is passed over.
  Result<void> answer(const protocol::WantedPage& wanted) {
    ++progress_.wanted;
    PageSpan page{NsPid(static_cast<pid_t>(wanted.process())),
                  {wanted.address(), wanted.address() + kPageSize}};
    plan_.take(page);
    TRY(send(page));
    uint64_t start = wanted.address() / kNeighbourhood * kNeighbourhood;
    if (environment_.clock.now() >= push_at_)
      plan_.go_on_at(page.process, start);  // with the push, so as not to delay what is wanted next
    else
      neighbours_.push_back({page.process, {start, start + kNeighbourhood}});
    return {};
  }

  Result<void> send_neighbours() {
    PageSpan around = neighbours_.front();
    neighbours_.pop_front();
    for (const sys::Range& range : plan_.take(around)) TRY(send({around.process, range}));
    return {};
  }

  Result<void> send(const PageSpan& span) {
    buffer_.resize(span.range.size());
    TRY(memory_.read(span, buffer_));
    protocol::Message message;
    protocol::PageRun& run = *message.mutable_pages()->mutable_run();
    run.set_process(static_cast<uint32_t>(span.process.value));
    run.set_address(span.range.start);
    run.set_length(span.range.size());
    if (!engine::is_zero(buffer_)) {
      message.mutable_pages()->set_content(buffer_.data(), buffer_.size());
      sent_ += buffer_.size();
    }
    return messages_->send(message);
  }

  // On a thread of its own.
  void push() {
    sys::set_niceness(sys::kLast);
    auto pushed = push_all();
    if (pushed) {
      pushed_at_ = environment_.clock.now().count();
      return;
    }
    spdlog::debug("push of memory to {}: {}", options_.destination, pushed.error().to_string());
    messages_->connection().shutdown();  // the other thread opens both again
  }

  Result<void> push_all() {
    while (!stop_ && environment_.clock.now() < push_at_)
      TRY(environment_.stopping.sleep(std::chrono::milliseconds(5)));
    auto records = image::make_sink(*push_connection_);
    image::CompressingSink sink(*records, options_.compression);
    engine::PageWriter writer(sink);
    // Wanted pages go over the same link.
    ShortQueue queue(push_connection_->fd(), environment_.clock);
    while (auto span = stop_ ? std::nullopt : plan_.next(kPushBytes)) {
      sent_ += TRY(memory_.put(*span, writer));
      TRY(sink.flush());
      queue.adapt();
    }
    TRY(sink.put(image::RecordType::kEnd, {}, {}));
    return sink.flush();
  }

  Result<void> check_push() const {
    int64_t at = pushed_at_;
    if (at == 0 || environment_.clock.now() < Nanoseconds(at) + kLastPagesTimeout) return {};
    return fail(Code::kTimeout, "the destination does not say that it has all of the memory");
  }

  void stop_push() {
    stop_ = true;
    if (push_connection_) push_connection_->shutdown();
    if (push_.joinable()) push_.join();
    progress_.sent += sent_;
  }

  void report() {
    if (!options_.on_progress) return;
    auto now = environment_.clock.now();
    if (now < reported_ + kProgressInterval) return;
    reported_ = now;
    LateMemoryProgress current = progress_;
    current.sent += sent_;
    current.left = plan_.left();
    options_.on_progress(current);
  }

  const Environment& environment_;
  const FrozenMemory& memory_;
  const LateMemoryOptions& options_;
  const Nanoseconds push_at_;
  LateMemoryProgress& progress_;
  Peer peer_;
  PushPlan plan_;
  std::optional<MessageChannel> messages_;
  std::deque<PageSpan> neighbours_;
  std::vector<std::byte> buffer_;
  std::unique_ptr<TlsConnection> push_connection_;
  std::thread push_;
  std::atomic<bool> stop_ = false;
  std::atomic<uint64_t> sent_ = 0;
  std::atomic<int64_t> pushed_at_ = 0;  // 0: not yet
  Nanoseconds reported_{};
};

// kGone: the destination knows nothing of it, because it needs nothing any more.
bool is_final(const Result<void>& outcome) {
  return outcome.has_value() || outcome.error().code() == Code::kGone;
}

}  // namespace

Result<LateMemoryProgress> serve_late_memory(const Environment& environment, HostPid init,
                                             const LateMemoryOptions& options) {
  LateMemoryProgress progress;
  Nanoseconds push_at = environment.clock.now() + options.push_after;
  for (bool told = false;;) {
    auto memory = FrozenMemory::open(init);
    if (!memory) {
      TRY(report_memory_lost(environment, options.destination, options.migration));
      return progress;
    }
    auto served = Session(environment, *memory, options, push_at, progress).run();
    if (is_final(served)) return progress;
    TRY(environment.stopping.check());
    if (!std::exchange(told, true))
      spdlog::warn("memory for host {}: {}; trying again", options.destination,
                   served.error().to_string());
    TRY(environment.stopping.sleep(kRetryInterval));
  }
}

Result<void> report_memory_lost(const Environment& environment, const std::string& destination,
                                const std::string& migration) {
  for (;;) {
    auto told = [&]() -> Result<void> {
      Peer peer(environment.tls, environment.host, destination, migration);
      const WaitLimits limits{.timeout = kConnectTimeout, .cancellation = &environment.stopping};
      MessageChannel messages(TRY(peer.open_channel(protocol::Channel::MEMORY, limits)));
      protocol::Message lost;
      lost.mutable_memory_lost()->set_reason("its processes on the source have ended");
      TRY(messages.send(lost));
      for (;;)
        if (TRY(messages.receive()).has_memory_complete()) return {};
    }();
    if (is_final(told)) return {};
    TRY(environment.stopping.check());
    TRY(environment.stopping.sleep(kRetryInterval));
  }
}

}  // namespace martlet::migrate
