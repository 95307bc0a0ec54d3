#include "sys/tracee.h"

#include <asm/ptrace-abi.h>
#include <elf.h>
#include <linux/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "sys/procfs.h"
#include "sys/stop_wait.h"

namespace martlet::sys {
namespace {

constexpr long kOptions =
    PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK;

long options_for(Death death) {
  return kOptions | (death == Death::kKill ? PTRACE_O_EXITKILL : 0);
}

// glibc declares the request as an enum of its own that lacks the newer numbers.
long request(int number, HostPid tid, uint64_t address, uint64_t data) {
  return ::syscall(SYS_ptrace, number, tid.value, address, data);
}

uint64_t as_word(const void* pointer) {
  return reinterpret_cast<uint64_t>(pointer);
}

std::unexpected<Error> refused(HostPid tid, const char* what) {
  if (errno == ESRCH) return fail(Code::kGone, "task " + to_string(tid) + " ended");
  return fail_errno(std::string(what) + " task " + to_string(tid));
}

Result<void> check(long outcome, HostPid tid, const char* what) {
  if (outcome < 0) return refused(tid, what);
  return {};
}

Stop decode(HostPid tid, int status) {
  if (WIFEXITED(status) || WIFSIGNALED(status)) return {Stop::Kind::kExited, 0, {}, status};
  int signal = WSTOPSIG(status);
  int event = status >> 16;
  if (event == PTRACE_EVENT_STOP)
    return {signal == SIGTRAP ? Stop::Kind::kInterrupt : Stop::Kind::kGroupStop, signal, {}, 0};
  if (event == PTRACE_EVENT_CLONE || event == PTRACE_EVENT_FORK || event == PTRACE_EVENT_VFORK) {
    unsigned long created = 0;
    request(PTRACE_GETEVENTMSG, tid, 0, as_word(&created));
    return {Stop::Kind::kClone, 0, HostPid(static_cast<pid_t>(created)), 0};
  }
  if (signal == (SIGTRAP | 0x80)) return {Stop::Kind::kSyscall, 0, {}, 0};
  return {Stop::Kind::kSignal, signal, {}, 0};
}

}  // namespace

Result<Tracee> Tracee::seize(HostPid tid, Death death) {
  if (request(PTRACE_SEIZE, tid, 0, static_cast<uint64_t>(options_for(death))) == 0)
    return Tracee(tid);
  if (errno == EPERM) {
    auto status = read_status(tid);
    if (status && status->tracer.value != 0)
      return fail(Code::kPermission, "task " + to_string(tid) + " is already traced by process " +
                                         to_string(status->tracer));
    return std::unexpected(
        Error::from_errno(EPERM, "trace task " + to_string(tid)).with_remedy("run it as root"));
  }
  return refused(tid, "trace");
}

Tracee& Tracee::operator=(Tracee&& other) noexcept {
  std::swap(tid_, other.tid_);
  return *this;
}

Tracee::~Tracee() {
  if (tid_.value == 0) return;
  // Only a stopped task can be detached.
  if (request(PTRACE_DETACH, tid_, 0, 0) == 0 || errno != ESRCH) return;
  if (interrupt() && wait_until_still()) request(PTRACE_DETACH, tid_, 0, 0);
}

Result<void> Tracee::interrupt() {
  return check(request(PTRACE_INTERRUPT, tid_, 0, 0), tid_, "interrupt");
}

// The kernel offers no wait with a deadline for ptrace stops.
Result<Stop> Tracee::wait(Nanoseconds deadline) {
  for (StopWait wait;; wait.pause()) {
    int status = 0;
    pid_t got = ::waitpid(tid_.value, &status, __WALL | WNOHANG);
    if (got == tid_.value) return decode(tid_, status);
    if (got < 0 && errno != EINTR) return refused(tid_, "wait for");
    if (wait.waited() > deadline)
      return fail(Code::kTimeout, "task " + to_string(tid_) + " does not stop");
  }
}

bool Tracee::reap_if_ended() {
  int status = 0;
  pid_t got = ::waitpid(tid_.value, &status, __WALL | WNOHANG);
  bool ended = got < 0 ? errno != EINTR : got != 0 && !WIFSTOPPED(status);
  if (ended) forget();
  return ended;
}

Result<Stop> Tracee::stop() {
  TRY(interrupt());
  return wait_until_still();
}

Result<Stop> Tracee::wait_until_still() {
  for (;;) {
    Stop stop = TRY(wait());
    switch (stop.kind) {
      case Stop::Kind::kInterrupt:
      case Stop::Kind::kGroupStop: return stop;
      case Stop::Kind::kExited:
        forget();
        return fail(Code::kGone, "task ended while it was being stopped");
      case Stop::Kind::kSignal: TRY(resume(stop.signal)); break;
      case Stop::Kind::kSyscall:
      case Stop::Kind::kClone: TRY(resume()); break;
    }
  }
}

Result<void> Tracee::resume(int signal) {
  return check(request(PTRACE_CONT, tid_, 0, static_cast<uint64_t>(signal)), tid_, "resume");
}

Result<void> Tracee::resume_to_syscall_stop() {
  return check(request(PTRACE_SYSCALL, tid_, 0, 0), tid_, "resume");
}

Result<void> Tracee::set_death(Death death) {
  return check(request(PTRACE_SETOPTIONS, tid_, 0, static_cast<uint64_t>(options_for(death))), tid_,
               "set options of");
}

Result<void> Tracee::suspend_seccomp(Death death) {
  auto options = static_cast<uint64_t>(options_for(death) | PTRACE_O_SUSPEND_SECCOMP);
  return check(request(PTRACE_SETOPTIONS, tid_, 0, options), tid_, "suspend the seccomp filter of");
}

Result<void> Tracee::detach(int signal) {
  TRY(check(request(PTRACE_DETACH, tid_, 0, static_cast<uint64_t>(signal)), tid_, "detach from"));
  forget();
  return {};
}

Result<user_regs_struct> Tracee::registers() const {
  user_regs_struct registers{};
  TRY(check(request(PTRACE_GETREGS, tid_, 0, as_word(&registers)), tid_, "read registers of"));
  return registers;
}

Result<void> Tracee::set_registers(const user_regs_struct& registers) {
  return check(request(PTRACE_SETREGS, tid_, 0, as_word(&registers)), tid_, "set registers of");
}

Result<std::vector<std::byte>> Tracee::extended_state() const {
  std::vector<std::byte> state(16384);
  iovec vector{state.data(), state.size()};
  TRY(check(request(PTRACE_GETREGSET, tid_, NT_X86_XSTATE, as_word(&vector)), tid_,
            "read extended state of"));
  state.resize(vector.iov_len);
  return state;
}

Result<void> Tracee::set_extended_state(std::span<const std::byte> state) {
  iovec vector{const_cast<std::byte*>(state.data()), state.size()};
  return check(request(PTRACE_SETREGSET, tid_, NT_X86_XSTATE, as_word(&vector)), tid_,
               "set extended state of");
}

Result<uint64_t> Tracee::signal_mask() const {
  uint64_t mask = 0;
  TRY(check(request(PTRACE_GETSIGMASK, tid_, sizeof mask, as_word(&mask)), tid_,
            "read signal mask of"));
  return mask;
}

Result<void> Tracee::set_signal_mask(uint64_t mask) {
  return check(request(PTRACE_SETSIGMASK, tid_, sizeof mask, as_word(&mask)), tid_,
               "set signal mask of");
}

Result<std::vector<siginfo_t>> Tracee::pending_signals(Queue queue) const {
  std::vector<siginfo_t> signals;
  for (;;) {
    std::array<siginfo_t, 32> batch{};
    ptrace_peeksiginfo_args arguments{};
    arguments.off = signals.size();
    arguments.nr = batch.size();
    arguments.flags = queue == Queue::kProcess ? PTRACE_PEEKSIGINFO_SHARED : 0;
    long got = request(PTRACE_PEEKSIGINFO, tid_, as_word(&arguments), as_word(batch.data()));
    TRY(check(got, tid_, "read pending signals of"));
    signals.insert(signals.end(), batch.begin(), batch.begin() + got);
    if (got < static_cast<long>(batch.size())) return signals;
  }
}

Result<std::optional<Tracee::SeccompFilter>> Tracee::seccomp_filter(uint64_t index) const {
  constexpr const char* kWhat = "read a seccomp filter of";
  long length = request(PTRACE_SECCOMP_GET_FILTER, tid_, index, 0);
  if (length < 0 && errno == ENOENT) return std::nullopt;
  TRY(check(length, tid_, kWhat));
  SeccompFilter filter{std::vector<sock_filter>(static_cast<size_t>(length)), 0};
  TRY(check(request(PTRACE_SECCOMP_GET_FILTER, tid_, index, as_word(filter.code.data())), tid_,
            kWhat));
  seccomp_metadata about{index, 0};
  TRY(check(request(PTRACE_SECCOMP_GET_METADATA, tid_, sizeof about, as_word(&about)), tid_,
            kWhat));
  filter.flags = about.flags;
  return filter;
}

std::optional<Tracee::RseqArea> Tracee::rseq() const {
  ptrace_rseq_configuration configuration{};
  long got =
      request(PTRACE_GET_RSEQ_CONFIGURATION, tid_, sizeof configuration, as_word(&configuration));
  if (got < 0 || configuration.rseq_abi_pointer == 0) return std::nullopt;
  return RseqArea{configuration.rseq_abi_pointer, configuration.rseq_abi_size,
                  configuration.signature, configuration.flags};
}

void reap_killed(std::span<Tracee* const> tracees, Nanoseconds deadline) {
  SystemClock clock;
  Nanoseconds give_up = clock.now() + deadline;
  for (bool left = true; left && clock.now() < give_up;) {
    left = false;
    for (Tracee* tracee : tracees) left |= tracee->tid().value != 0 && !tracee->reap_if_ended();
    if (left) clock.sleep_for(std::chrono::microseconds(50));
  }
  for (Tracee* tracee : tracees) tracee->forget();
}

}  // namespace martlet::sys
