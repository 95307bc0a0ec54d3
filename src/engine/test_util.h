// What tests of the engine share: a sink in memory, and a process in namespaces of its own.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <vector>

#include "base/fd.h"
#include "base/ids.h"
#include "image/stream.h"

namespace martlet::engine {

struct StoredRecord {
  image::RecordType type;
  std::vector<std::byte> head, body;
  image::Record view() const { return {type, head, body}; }
};

class MemorySink final : public image::Sink {
 public:
  Result<void> put(image::RecordType type, std::span<const std::byte> head,
                   std::span<const std::byte> body) override {
    records.push_back({type, {head.begin(), head.end()}, {body.begin(), body.end()}});
    return {};
  }
  Result<void> flush() override { return {}; }

  std::vector<StoredRecord> records;
};

// A child that lives in new namespaces until this is destroyed.
class ChildInNamespaces {
 public:
  // `prepare` runs in the child; it returns whether all went well.
  ChildInNamespaces(int namespaces, const std::function<bool()>& prepare) {
    int ready[2];
    if (::pipe2(ready, O_CLOEXEC) != 0) return;
    Fd reader(ready[0]), writer(ready[1]);
    pid_ = ::fork();
    if (pid_ == 0) live(namespaces, prepare, ready[1]);
    writer.reset();
    char byte = 0;
    ready_ = pid_ > 0 && ::read(reader.get(), &byte, 1) == 1;
  }
  ~ChildInNamespaces() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  ChildInNamespaces(const ChildInNamespaces&) = delete;
  ChildInNamespaces& operator=(const ChildInNamespaces&) = delete;

  bool ready() const { return ready_; }
  HostPid pid() const { return HostPid(pid_); }

 private:
  [[noreturn]] static void live(int namespaces, const std::function<bool()>& prepare, int ready) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::unshare(namespaces) != 0 || !prepare()) ::_exit(1);
    if (::write(ready, "x", 1) != 1) ::_exit(1);
    for (;;) ::pause();
  }

  pid_t pid_ = -1;
  bool ready_ = false;
};

#define ASSERT_OK(expression)                                          \
  do {                                                                 \
    auto outcome_ = (expression);                                      \
    ASSERT_TRUE(outcome_.has_value()) << outcome_.error().to_string(); \
  } while (false)

}  // namespace martlet::engine
