#include "agent/host_costs.h"

#define XXH_STATIC_LINKING_ONLY  // for the size of XXH3_state_t
#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/evp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <xxh_x86dispatch.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <memory>
#include <thread>
#include <vector>

#include "base/fd.h"
#include "checkpoint/group.h"
#include "sys/mapping_flags.h"
#include "sys/pagemap.h"
#include "sys/pidfd.h"
#include "sys/procfs.h"
#include "sys/program.h"
#include "sys/socket_options.h"
#include "sys/target_memory.h"

namespace martlet::agent {
namespace {

constexpr size_t kPages = 1024;
constexpr size_t kAreaBytes = kPages * kPageSize;
constexpr int kAttempts = 3;
constexpr Nanoseconds kProgramTimeout = std::chrono::milliseconds(500);

// The shortest of a few attempts, in seconds for one of `count` units.
double cost_of(const Clock& clock, double count, const std::function<void()>& work,
               int attempts = kAttempts) {
  Nanoseconds best = Nanoseconds::max();
  for (int i = 0; i < attempts; ++i) {
    const Stopwatch watch(clock);
    work();
    best = std::min(best, watch.elapsed());
  }
  return std::chrono::duration<double>(best).count() / count;
}

double finite(double seconds) {
  return std::isfinite(seconds) ? seconds : 0;
}

class Area {
 public:
  Area()
      : data_(static_cast<std::byte*>(::mmap(nullptr, kAreaBytes, PROT_READ | PROT_WRITE,
                                             MAP_PRIVATE | MAP_ANONYMOUS, -1, 0))) {}
  ~Area() { ::munmap(data_, kAreaBytes); }
  Area(const Area&) = delete;
  Area& operator=(const Area&) = delete;
  std::span<std::byte> bytes() const { return {data_, kAreaBytes}; }
  std::span<std::byte> page(size_t i) const { return bytes().subspan(i * kPageSize, kPageSize); }

 private:
  std::byte* data_;
};

enum class Descriptors { kAsHere, kNone };

// A child that only waits; between fork and its end it makes system calls alone. It does not
// outlive the thread that made it: it holds copies of the agent's descriptors.
class WaitingChild {
 public:
  explicit WaitingChild(Descriptors descriptors) : agent_(::getpid()), pid_(::fork()) {
    if (pid_ != 0) return;
    if (descriptors == Descriptors::kNone) ::close_range(0, ~0u, 0);
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    while (::getppid() == agent_) ::pause();
    ::_exit(0);
  }
  ~WaitingChild() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  WaitingChild(const WaitingChild&) = delete;
  WaitingChild& operator=(const WaitingChild&) = delete;
  HostPid pid() const { return HostPid(pid_); }

 private:
  pid_t agent_;
  pid_t pid_;
};

// As after rounds, when nearly all pages are there and were not written.
double measure_look(const Clock& clock, const Area& area) {
  constexpr int kLooks = 16;
  const auto start = reinterpret_cast<uint64_t>(area.bytes().data());
  const auto pagemap = sys::Pagemap::open(HostPid(::getpid()));
  if (!pagemap) return 0;
  return cost_of(clock, kLooks * kPages, [&] {
    for (int i = 0; i < kLooks; ++i)
      (void)pagemap->look({start, start + kAreaBytes}, sys::Pagemap::Backing::kNone,
                          sys::Pagemap::Tracking::kNone);
  });
}

void measure_pages(const Clock& clock, models::HostCosts& costs) {
  const Area source;
  std::fill(source.bytes().begin(), source.bytes().end(), std::byte{0x5a});
  const Area target;
  std::fill(target.bytes().begin(), target.bytes().end(), std::byte{1});
  costs.page_touch = cost_of(clock, kPages, [&] {
    const Area fresh;
    std::ranges::copy(source.bytes(), fresh.bytes().begin());
  });
  costs.page_read = cost_of(clock, kPages, [&] {
    const auto from = TargetAddr(reinterpret_cast<uint64_t>(source.bytes().data()));
    (void)sys::read_memory(HostPid(::getpid()), from, target.bytes());
  });
  costs.page_look = measure_look(clock, source);
  uint64_t sum = 0;
  costs.page_hash = cost_of(clock, kPages, [&] {
    for (size_t i = 0; i < kPages; ++i) sum += XXH3_64bits(source.page(i).data(), kPageSize);
  });
  target.bytes()[0] = static_cast<std::byte>(sum);  // so that it is not optimised away
}

// In records of 16 KiB, as TLS sends them.
double measure_encryption(const Clock& clock) {
  constexpr size_t kRecord = 16384;
  const Area plain;
  std::fill(plain.bytes().begin(), plain.bytes().end(), std::byte{1});
  std::vector<unsigned char> sealed(kRecord + 16);
  const std::unique_ptr<EVP_CIPHER_CTX, decltype(&EVP_CIPHER_CTX_free)> context(
      EVP_CIPHER_CTX_new(), &EVP_CIPHER_CTX_free);
  const unsigned char key[16] = {1};
  unsigned char nonce[12] = {};
  return cost_of(clock, kPages, [&] {
    for (size_t at = 0; at < kAreaBytes; at += kRecord) {
      int length = 0;
      nonce[0]++;
      EVP_EncryptInit_ex(context.get(), EVP_aes_128_gcm(), nullptr, key, nonce);
      EVP_EncryptUpdate(context.get(), sealed.data(), &length,
                        reinterpret_cast<const unsigned char*>(plain.bytes().data() + at), kRecord);
      EVP_EncryptFinal_ex(context.get(), sealed.data() + length, &length);
    }
  });
}

// There and back is two directions.
double measure_socket(const Clock& clock) {
  constexpr size_t kPiece = 64 << 10;
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) return 0;
  const Fd writer(ends[0]);
  const Fd reader(ends[1]);
  std::vector<char> piece(kPiece);
  return cost_of(clock, 2.0 * kPages, [&] {
    for (size_t at = 0; at < kAreaBytes; at += kPiece) {
      size_t arrived = 0;
      const ssize_t sent = ::write(writer.get(), piece.data(), piece.size());
      while (sent > 0 && arrived < static_cast<size_t>(sent)) {
        const ssize_t got = ::read(reader.get(), piece.data(), piece.size());
        if (got <= 0) return;
        arrived += static_cast<size_t>(got);
      }
    }
  });
}

double measure_descriptors(const Clock& clock, HostPid pid) {
  const auto pidfd = sys::open_pidfd(pid);
  const auto numbers = sys::list_descriptors(pid);
  if (!pidfd || !numbers || numbers->empty()) return 0;
  return cost_of(clock, static_cast<double>(numbers->size()), [&] {
    for (const int number : *numbers) {
      struct stat status{};
      const auto duplicate = sys::duplicate_descriptor(*pidfd, number);
      if (duplicate) ::fstat(duplicate->get(), &status);
      (void)read_file(sys::proc_path(pid, "fdinfo/" + std::to_string(number)));
    }
  });
}

// Of a process that has next to nothing.
void measure_group(const Clock& clock, models::HostCosts& costs) {
  const WaitingChild child(Descriptors::kNone);
  if (child.pid().value <= 0) return;
  checkpoint::GroupSpec group;
  group.root = child.pid();
  costs.group_freeze = costs.group_capture = std::numeric_limits<double>::infinity();
  for (int i = 0; i < kAttempts; ++i) {
    const Stopwatch watch(clock);
    auto frozen = checkpoint::FrozenGroup::freeze(group);
    const double freeze = watch.seconds();
    if (!frozen || !frozen->check()) break;
    costs.group_freeze = std::min(costs.group_freeze, freeze);
    costs.group_capture = std::min(costs.group_capture, watch.seconds() - freeze);
  }
  const auto vmas = sys::read_maps(child.pid());
  const double counted = vmas ? static_cast<double>(vmas->size()) * costs.mapping_read : 0;
  costs.group_freeze = finite(std::max(0.0, costs.group_freeze - costs.task_stop));
  costs.group_capture = finite(std::max(0.0, costs.group_capture - counted - costs.task_read));
}

void measure_tasks(const Clock& clock, models::HostCosts& costs) {
  costs.fork = cost_of(clock, 1, [] {
    const pid_t pid = ::fork();
    if (pid == 0) ::_exit(0);
    if (pid > 0) ::waitpid(pid, nullptr, 0);
  });
  const WaitingChild child(Descriptors::kAsHere);
  if (child.pid().value <= 0) return;
  costs.task_stop = cost_of(clock, 1, [&] {
    int status = 0;
    ::ptrace(PTRACE_SEIZE, child.pid().value, nullptr, nullptr);
    ::ptrace(PTRACE_INTERRUPT, child.pid().value, nullptr, nullptr);
    ::waitpid(child.pid().value, &status, __WALL);
    ::ptrace(PTRACE_DETACH, child.pid().value, nullptr, nullptr);
  });
  costs.task_read = cost_of(clock, 1, [&] {
    (void)sys::read_status(child.pid());
    (void)sys::read_stat(child.pid());
    (void)sys::list_descriptors(child.pid());
    (void)sys::list_threads(child.pid());
  });
  size_t mappings = 1;
  const double all = cost_of(clock, 1, [&] {
    if (const auto vmas = sys::read_mappings(child.pid()))
      mappings = std::max(mappings, vmas->size());
  });
  costs.mapping_read = all / static_cast<double>(mappings);
  costs.descriptor_read = measure_descriptors(clock, child.pid());
  measure_group(clock, costs);
}

// Of a connection of this process with itself.
double measure_connection(const Clock& clock) {
  constexpr int kReads = 20;
  const Fd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const Fd client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = ::htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* place = reinterpret_cast<sockaddr*>(&address);
  if (::bind(listener.get(), place, size) != 0 || ::listen(listener.get(), 1) != 0 ||
      ::getsockname(listener.get(), place, &size) != 0)
    return 0;
  (void)::connect(client.get(), place, size);  // goes on by itself
  return cost_of(clock, kReads, [&] {
    for (int i = 0; i < kReads; ++i) (void)sys::read_socket_options(client.get());
  });
}

void measure_files(const Clock& clock, const std::string& directory, models::HostCosts& costs) {
  constexpr int kLooks = 100;
  const std::string path = directory + "/self-test";
  costs.durable_write = cost_of(clock, 1, [&] { (void)replace_file(path, "self-test\n", 0600); });
  costs.file_compare = cost_of(clock, kLooks, [&] {
    struct stat status{};
    for (int i = 0; i < kLooks; ++i) ::lstat(path.c_str(), &status);
  });
  ::unlink(path.c_str());
}

double measure_program(const Clock& clock, const char* name) {
  bool ran = false;
  const double seconds = cost_of(
      clock, 1,
      [&] {
        const sys::Program program{.args = {name, "--version"}};
        ran = sys::run_program(program, kProgramTimeout).value_or(1) == 0;
      },
      1);
  return ran ? seconds : 0;
}

}  // namespace

models::HostCosts measure_host_costs(const std::string& directory, const Clock& clock) {
  models::HostCosts costs;
  costs.cores = std::max(1u, std::thread::hardware_concurrency());
  measure_pages(clock, costs);
  costs.page_encrypt = measure_encryption(clock);
  costs.page_socket = measure_socket(clock);
  measure_tasks(clock, costs);
  costs.connection_read = measure_connection(clock);
  measure_files(clock, directory, costs);
  costs.copy_start = measure_program(clock, "rsync");
  costs.sandbox_start = measure_program(clock, "runc");
  return costs;
}

}  // namespace martlet::agent
