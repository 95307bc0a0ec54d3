#include "checkpoint/group.h"

#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "base/test_util.h"
#include "engine/test_util.h"
#include "image/mounts.pb.h"
#include "sys/procfs.h"

namespace martlet::checkpoint {
namespace {

using engine::MemorySink;
using image::RecordType;

constexpr auto kDeadline = std::chrono::seconds(10);

class MemorySource final : public image::Source {
 public:
  explicit MemorySource(const MemorySink& records) : records_(records.records) {}
  Result<image::Record> next() override {
    if (next_ == records_.size()) return fail(Code::kBadImage, "the stream ends too early");
    return records_[next_++].view();
  }

 private:
  const std::vector<engine::StoredRecord>& records_;
  size_t next_ = 0;
};

// A process that has nothing open and waits.
pid_t start_program() {
  const pid_t child = ::fork();
  if (child != 0) return child;
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  ::close_range(0, ~0u, 0);
  ::execl("/bin/sleep", "sleep", "1000", nullptr);
  ::_exit(1);
}

bool await_program(pid_t child) {
  const auto end = std::chrono::steady_clock::now() + kDeadline;
  while (std::chrono::steady_clock::now() < end) {
    const auto status = sys::read_status(HostPid(child));
    if (status && status->name == "sleep" && status->state == 'S') return true;
    std::this_thread::yield();
  }
  return false;
}

// The image of a process that is gone.
void capture_one(pid_t child, MemorySink& sink) {
  GroupSpec spec;
  spec.root = HostPid(child);
  auto group = must(FrozenGroup::freeze(spec));
  must(group.capture(sink));
  must(group.kill());
  ASSERT_EQ(::kill(child, 0), -1);
}

void insert_mounts(MemorySink& sink, const image::Mounts& mounts) {
  MemorySink made;
  must(image::put_message(made, RecordType::kMounts, mounts));
  auto ipc = std::ranges::find(sink.records, RecordType::kIpc, &engine::StoredRecord::type);
  ASSERT_NE(ipc, sink.records.end());
  sink.records.insert(ipc + 1, made.records.front());
}

class ProcessTreeTest : public testing::Test {
 protected:
  void SetUp() override {
    child_ = start_program();
    ASSERT_TRUE(await_program(child_));
    capture_one(child_, sink_);
  }

  void expect_refused(const image::Mounts& mounts) {
    insert_mounts(sink_, mounts);
    MemorySource source(sink_);
    auto built = RestoredGroup::build(source, {});
    ASSERT_FALSE(built.has_value());
    EXPECT_EQ(built.error().code(), Code::kBadImage);
    EXPECT_NE(built.error().to_string().find("no mounts of its own"), std::string::npos)
        << built.error().to_string();
    EXPECT_EQ(::kill(child_, 0), -1);
  }

  pid_t child_ = 0;
  MemorySink sink_;
};

TEST_F(ProcessTreeTest, is_built_from_its_image) {
  MemorySource source(sink_);
  auto built = RestoredGroup::build(source, {});
  ASSERT_TRUE(built.has_value()) << built.error().to_string();
  EXPECT_EQ(built->root().value, child_);
}

// An image that says otherwise must not reach the mounts of the host.
TEST_F(ProcessTreeTest, has_no_mounts_of_its_own) {
  image::Mounts mounts;
  mounts.add_removed("/proc");
  expect_refused(mounts);
}

TEST_F(ProcessTreeTest, has_no_mount_namespaces) {
  image::Mounts mounts;
  mounts.add_namespaces()->add_processes(child_);
  expect_refused(mounts);
}

}  // namespace
}  // namespace martlet::checkpoint
