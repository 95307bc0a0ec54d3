#include "engine/ipc/sysv.h"

#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>

#include <cstring>

#include "engine/test_util.h"

namespace martlet::engine {
namespace {

constexpr key_t kKey = 0x4d41;

class SysvTest : public testing::Test {
 protected:
  // Captures the IPC namespace of a process, and fills a fresh one with it.
  Result<void> move(HostPid from, HostPid to) {
    CaptureContext capture(sink_, from, {});
    ipc_ = TRY(capture_sysv(capture, capture.root(), SysvScope::kWholeNamespace));
    TRY(capture.shared_objects().put(sink_));
    ApplyContext apply(to, {});
    objects_ = TRY(SysvObjects::create(apply, ipc_));
    for (const StoredRecord& record : sink_.records) TRY(apply_record(apply, record.view()));
    TRY(apply.shared_objects().finish());
    return objects_.remove_marked(apply, ipc_);
  }

  static Result<void> apply_record(ApplyContext& apply, const image::Record& record) {
    if (record.type == image::RecordType::kSharedMemory)
      return apply.shared_objects().create(TRY(image::parse_as<image::SharedMemory>(record)));
    return apply.shared_objects().fill(TRY(image::parse_run(record)), record.body);
  }

  static Result<void> within(HostPid process, const std::function<void()>& check) {
    return run_in_namespace(process, "ipc", [&]() -> Result<void> {
      check();
      return {};
    });
  }

  MemorySink sink_;
  image::Ipc ipc_;
  SysvObjects objects_;
  ChildInNamespaces target_{CLONE_NEWIPC, [] { return true; }};
};

TEST_F(SysvTest, segments_keep_id_key_owner_and_content) {
  constexpr size_t kSize = 3 * 4096 + 5;
  ChildInNamespaces source(CLONE_NEWIPC, [] {
    int first = ::shmget(IPC_PRIVATE, 4096, 0600);  // gone again, so that ids are not 0, 1, 2
    int id = ::shmget(kKey, kSize, IPC_CREAT | 0640);
    if (first < 0 || id < 0 || ::shmctl(first, IPC_RMID, nullptr) != 0) return false;
    auto* bytes = static_cast<char*>(::shmat(id, nullptr, 0));
    std::strcpy(bytes, "start");
    std::strcpy(bytes + 3 * 4096, "end");
    shmid_ds status{};
    status.shm_perm.uid = 1000;
    status.shm_perm.mode = 0604;
    return ::shmctl(id, IPC_SET, &status) == 0;
  });
  ASSERT_TRUE(source.ready());
  ASSERT_OK(move(source.pid(), target_.pid()));
  ASSERT_EQ(ipc_.shared_memory_size(), 1);
  ASSERT_OK(within(target_.pid(), [&] {
    int id = ::shmget(kKey, 0, 0);
    EXPECT_EQ(id, ipc_.shared_memory(0).permission().id());
    shmid_ds status{};
    ASSERT_EQ(::shmctl(id, IPC_STAT, &status), 0);
    EXPECT_EQ(status.shm_segsz, kSize);
    EXPECT_EQ(status.shm_perm.uid, 1000u);
    EXPECT_EQ(status.shm_perm.cuid, 0u);
    EXPECT_EQ(status.shm_perm.mode & 0777, 0604);
    auto* bytes = static_cast<char*>(::shmat(id, nullptr, SHM_RDONLY));
    EXPECT_STREQ(bytes, "start");
    EXPECT_STREQ(bytes + 3 * 4096, "end");
    ::shmdt(bytes);
  }));
}

TEST_F(SysvTest, segment_removed_while_attached_goes_with_its_last_user) {
  ChildInNamespaces source(CLONE_NEWIPC, [] {
    int id = ::shmget(kKey, 4096, IPC_CREAT | 0600);
    return ::shmat(id, nullptr, 0) != nullptr && ::shmctl(id, IPC_RMID, nullptr) == 0;
  });
  ASSERT_TRUE(source.ready());
  ASSERT_OK(move(source.pid(), target_.pid()));
  ASSERT_EQ(ipc_.shared_memory_size(), 1);
  EXPECT_TRUE(ipc_.shared_memory(0).removed());
  ASSERT_OK(within(target_.pid(), [&] {  // nobody has attached to the copy
    shmid_ds status{};
    EXPECT_NE(::shmctl(ipc_.shared_memory(0).permission().id(), IPC_STAT, &status), 0);
  }));
}

TEST_F(SysvTest, semaphores_keep_their_values) {
  ChildInNamespaces source(CLONE_NEWIPC, [] {
    int id = ::semget(kKey, 3, IPC_CREAT | 0600);
    unsigned short values[] = {7, 0, 32767};
    return id >= 0 && ::semctl(id, 0, SETALL, values) == 0;
  });
  ASSERT_TRUE(source.ready());
  ASSERT_OK(move(source.pid(), target_.pid()));
  ASSERT_OK(within(target_.pid(), [&] {
    int id = ::semget(kKey, 3, 0);
    EXPECT_EQ(id, ipc_.semaphores(0).permission().id());
    EXPECT_EQ(::semctl(id, 0, GETVAL), 7);
    EXPECT_EQ(::semctl(id, 1, GETVAL), 0);
    EXPECT_EQ(::semctl(id, 2, GETVAL), 32767);
  }));
}

TEST_F(SysvTest, queues_keep_their_messages_in_order) {
  ChildInNamespaces source(CLONE_NEWIPC, [] {
    int id = ::msgget(kKey, IPC_CREAT | 0600);
    struct {
      long type;
      char text[8];
    } first{5, "first"}, second{2, "second"};
    return ::msgsnd(id, &first, 6, 0) == 0 && ::msgsnd(id, &second, 7, 0) == 0;
  });
  ASSERT_TRUE(source.ready());
  ASSERT_OK(move(source.pid(), target_.pid()));
  for (HostPid process : {source.pid(), target_.pid()}) {  // looking took nothing out
    ASSERT_OK(within(process, [&] {
      int id = ::msgget(kKey, 0);
      EXPECT_EQ(id, ipc_.message_queues(0).permission().id());
      struct {
        long type;
        char text[8];
      } message{};
      EXPECT_EQ(::msgrcv(id, &message, sizeof message.text, 0, IPC_NOWAIT), 6);
      EXPECT_EQ(message.type, 5);
      EXPECT_STREQ(message.text, "first");
      EXPECT_EQ(::msgrcv(id, &message, sizeof message.text, 0, IPC_NOWAIT), 7);
      EXPECT_STREQ(message.text, "second");
    }));
  }
}

TEST_F(SysvTest, of_a_shared_namespace_only_mapped_segments_are_taken) {
  int mapped = ::shmget(IPC_PRIVATE, 8192, 0600);
  int other = ::shmget(IPC_PRIVATE, 8192, 0600);
  void* place = ::shmat(mapped, nullptr, 0);
  std::strcpy(static_cast<char*>(place), "mapped");
  auto start = reinterpret_cast<uint64_t>(place);
  char link[100];
  std::snprintf(link, sizeof link, "/proc/self/map_files/%lx-%lx", start, start + 8192);
  CaptureContext capture(sink_, HostPid(::getpid()), {});
  ASSERT_OK(capture.shared_objects().id_of(*open_file(link, O_RDONLY), "/SYSV00000000 (deleted)"));
  auto ipc = capture_sysv(capture, capture.root(), SysvScope::kMappedSegments);
  ASSERT_OK(ipc);
  ASSERT_EQ(ipc->shared_memory_size(), 1);
  EXPECT_EQ(ipc->shared_memory(0).permission().id(), mapped);
  EXPECT_EQ(ipc->shared_memory(0).object(), 1u);
  ::shmdt(place);
  ::shmctl(mapped, IPC_RMID, nullptr);
  ::shmctl(other, IPC_RMID, nullptr);
}

TEST_F(SysvTest, failed_restore_removes_what_it_made) {
  image::Ipc ipc;
  image::SysvSharedMemory& segment = *ipc.add_shared_memory();
  segment.mutable_permission()->set_id(12345);
  segment.mutable_permission()->set_mode(0600);
  segment.set_size(4096);
  ApplyContext apply(HostPid(::getpid()), {});
  {
    ASSERT_OK(SysvObjects::create(apply, ipc));
  }
  shmid_ds status{};
  EXPECT_NE(::shmctl(12345, IPC_STAT, &status), 0);
}

TEST_F(SysvTest, refuses_a_taken_id) {
  int id = ::shmget(IPC_PRIVATE, 8192, 0600);
  image::Ipc ipc;
  image::SysvSharedMemory& segment = *ipc.add_shared_memory();
  segment.mutable_permission()->set_id(id);
  segment.set_size(4096);
  ApplyContext apply(HostPid(::getpid()), {});
  auto created = SysvObjects::create(apply, ipc);
  ASSERT_FALSE(created.has_value());
  EXPECT_EQ(created.error().code(), Code::kAlreadyExists);
  ::shmctl(id, IPC_RMID, nullptr);
}

}  // namespace
}  // namespace martlet::engine
