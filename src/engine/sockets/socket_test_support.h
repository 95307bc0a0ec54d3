// For tests of sockets: a network namespace per test, and a capture and a restore of descriptors of
// the test itself.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "engine/context.h"
#include "engine/files/file_kind.h"
#include "engine/sockets/common.h"
#include "engine/sockets/unix_queue.h"
#include "sys/socket_address.h"

namespace martlet::engine {

inline constexpr int kDeadlineMs = 20000;

class NullSink final : public image::Sink {
 public:
  Result<void> put(image::RecordType, std::span<const std::byte>,
                   std::span<const std::byte>) override {
    return {};
  }
  Result<void> flush() override { return {}; }
};

template <typename T>
T expect_ok(Result<T> result) {
  if (!result) {
    ADD_FAILURE() << result.error().to_string();
    std::abort();
  }
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

inline void raise_loopback() {
  Fd fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request{};
  std::string("lo").copy(request.ifr_name, IFNAMSIZ - 1);
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  ASSERT_EQ(::ioctl(fd.get(), SIOCSIFFLAGS, &request), 0);
}

inline void run_command(const std::string& command) {
  ASSERT_EQ(std::system(command.c_str()), 0) << command;
}

// The test's thread runs in a network namespace of its own for the time of a test.
class NetworkTest : public ::testing::Test {
 protected:
  void SetUp() override {
    original_ = expect_ok(open_file("/proc/thread-self/ns/net", O_RDONLY));
    ASSERT_EQ(::unshare(CLONE_NEWNET), 0);
    raise_loopback();
  }
  void TearDown() override { ASSERT_EQ(::setns(original_.get(), CLONE_NEWNET), 0); }

 private:
  Fd original_;
};

// A process in a network namespace of its own that does nothing; joined to the test's by a veth
// pair: 10.9.0.1 and fd09::1 here, 10.9.0.2 and fd09::2 there.
class Neighbour {
 public:
  Neighbour() {
    int ready[2];
    EXPECT_EQ(::pipe(ready), 0);
    pid_ = ::fork();
    if (pid_ == 0) idle(ready[1]);
    char byte = 0;
    EXPECT_EQ(::read(ready[0], &byte, 1), 1);
    ::close(ready[0]);
    ::close(ready[1]);
    std::string pid = std::to_string(pid_);
    run_command("ip link add outside type veth peer name inside netns " + pid);
    run_command("ip addr add 10.9.0.1/24 dev outside; ip link set outside up");
    run_command("ip addr add fd09::1/64 dev outside nodad");
    enter_ = "nsenter -t " + pid + " -n ";
    run_command(enter_ + "ip addr add 10.9.0.2/24 dev inside");
    run_command(enter_ + "ip addr add fd09::2/64 dev inside nodad");
    run_command(enter_ + "ip link set inside up");
  }
  ~Neighbour() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  Neighbour(const Neighbour&) = delete;
  Neighbour& operator=(const Neighbour&) = delete;

  HostPid pid() const { return HostPid(pid_); }

  // Nothing gets in from outside, as while a container is away from its host.
  void cut() {
    run_command(
        enter_ +
        "nft 'add table inet cut; add chain inet cut input { type filter hook "
        "input priority 0; }; add rule inet cut input iifname inside meta l4proto tcp drop'");
  }
  void mend() { run_command(enter_ + "nft delete table inet cut"); }

 private:
  [[noreturn]] static void idle(int ready) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::unshare(CLONE_NEWNET) != 0) ::_exit(1);
    raise_loopback();
    if (::write(ready, "", 1) != 1) ::_exit(1);
    for (;;) ::pause();
  }

  pid_t pid_ = -1;
  std::string enter_;
};

// Descriptors of the test captured as if they were a frozen group's.
class CapturedSockets {
 public:
  explicit CapturedSockets(HostPid root)
      : context_(std::make_unique<CaptureContext>(sink_, root, std::vector<ExternalFile>{})) {}

  // Captures the sockets, which stay the caller's; the first error, if any.
  Result<void> capture(const FileKind& kind, const std::vector<int>& fds) {
    for (int fd : fds) context_->files().push_back(open_file_of(fd));
    TRY(read_unix_queues(*context_, [](Fd) -> Result<uint32_t> {
      return fail(Code::kUnsupported, "descriptor in flight");
    }));
    for (const OpenFile& file : context_->files()) {
      EXPECT_TRUE(kind.recognises(file));
      image::File record;
      record.set_id(file.id);
      record.set_flags(static_cast<uint32_t>(file.flags));
      TRY(kind.capture(*context_, file, record));
      EXPECT_TRUE(kind.owns(record));
      files_.push_back(record);
    }
    return {};
  }
  void thaw() { context_->run_undo(); }
  // The image; from now on nothing of the originals is held here.
  const std::vector<image::File>& files() {
    context_.reset();
    return files_;
  }

 private:
  OpenFile open_file_of(int fd) {
    OpenFile file;
    file.id = static_cast<uint32_t>(context_->files().size() + 1);
    file.fd = fd;
    file.socket = sys::socket_type(fd);
    file.holder = HostPid(::getpid());
    file.number = fd;
    EXPECT_EQ(::fstat(fd, &file.status), 0);
    file.link = "socket:[" + std::to_string(file.status.st_ino) + "]";
    file.flags = ::fcntl(fd, F_GETFL);
    return file;
  }

  NullSink sink_;
  std::unique_ptr<CaptureContext> context_;
  std::vector<image::File> files_;
};

// Rebuilds what was captured, in the order of the image, and lets it go live in the given order.
// With `create_all` they are made by that, otherwise one by one.
inline Result<std::vector<Fd>> restore(
    const FileKind& kind, const std::vector<image::File>& files, HostPid root,
    const std::function<Result<void>(ApplyContext&)>& create_all = nullptr) {
  ApplyContext context(root, {});
  for (const image::File& file : files) context.files()[file.id()] = file;
  if (create_all) TRY(create_all(context));
  for (const image::File& file : files)
    if (!create_all) context.set_description(file.id(), TRY(kind.create(context, file)));
  for (const image::File& file : files)
    TRY(kind.complete(context, file, context.description(file.id())));
  for (const image::File& file : files) kind.go_live(context, file, context.description(file.id()));
  std::vector<Fd> result;
  for (const image::File& file : files)
    result.emplace_back(::fcntl(context.description(file.id()), F_DUPFD_CLOEXEC, 0));
  return result;
}

inline bool wait_for_event(int fd, short event) {
  pollfd state{fd, event, 0};
  return ::poll(&state, 1, kDeadlineMs) == 1 && (state.revents & event) != 0;
}

inline std::string receive_exactly(int fd, size_t length) {
  std::string bytes;
  while (bytes.size() < length && wait_for_event(fd, POLLIN)) {
    char buffer[65536];
    ssize_t got = ::recv(fd, buffer, std::min(sizeof buffer, length - bytes.size()), 0);
    if (got <= 0) break;
    bytes.append(buffer, static_cast<size_t>(got));
  }
  return bytes;
}

inline void send_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    ASSERT_TRUE(wait_for_event(fd, POLLOUT));
    ssize_t put = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    ASSERT_GT(put, 0) << std::strerror(errno);
    bytes.remove_prefix(static_cast<size_t>(put));
  }
}

inline bool at_end_of_stream(int fd) {
  char byte = 0;
  return wait_for_event(fd, POLLIN) && ::recv(fd, &byte, 1, 0) == 0;
}

// Bytes in which every position can be told apart.
inline std::string pattern(size_t length) {
  std::string bytes(length, '\0');
  uint32_t value = 12345;
  for (char& byte : bytes) {
    value = value * 1664525 + 1013904223;
    byte = static_cast<char>(value >> 24);
  }
  return bytes;
}

}  // namespace martlet::engine
