// The phases of a capture, in their order.
#pragma once

#include <map>
#include <optional>
#include <span>
#include <vector>

#include "checkpoint/group.h"
#include "checkpoint/memory_rounds.h"
#include "checkpoint/sharing.h"
#include "engine/cgroups/inner_cgroups.h"
#include "engine/cgroups/inner_freezers.h"
#include "engine/context.h"
#include "engine/files/file_kind.h"
#include "engine/files/file_table.h"
#include "engine/memory/lane_writer.h"
#include "engine/memory/layout.h"
#include "engine/memory/pages.h"
#include "engine/network/own_network.h"
#include "engine/tasks/frozen.h"
#include "engine/tasks/seccomp.h"
#include "image/group.pb.h"
#include "image/ipc.pb.h"
#include "image/memory.pb.h"
#include "image/mounts.pb.h"
#include "image/network.pb.h"
#include "sys/pagemap.h"

namespace martlet::checkpoint {

class GroupCapture {
 public:
  // `lanes` are streams for pages beside the context's sink. `ahead` is what was sent while the
  // group ran; null if nothing was.
  GroupCapture(std::vector<engine::FrozenProcess>& processes, engine::CaptureContext& context,
               std::span<image::Sink* const> lanes, const GroupSpec& spec, MemoryRounds* ahead,
               MemoryScope scope, const std::vector<engine::ContainerCgroup>& cgroups,
               const engine::InnerFreezers& freezers)
      : processes_(processes),
        context_(context),
        pages_(context.sink(), lanes),
        layouts_(context, context.shared_objects()),
        lane_count_(static_cast<uint32_t>(lanes.size())),
        container_(spec.container),
        first_mounts_(spec.first_mounts),
        ahead_(ahead),
        scope_(scope),
        container_cgroups_(cgroups),
        freezers_(freezers) {}

  // Before run() or check(). The survey is null if the container cannot change its own network;
  // the settings are of a fresh one, if they were read.
  void look_at_networks(engine::NetworkSurvey* survey,
                        std::optional<engine::NetworkSettings> settings) {
    network_survey_ = survey;
    fresh_settings_ = std::move(settings);
  }

  Result<CaptureStats> run();
  // Everything that run() does but what takes memory and writes, so that all refusals show.
  Result<CaptureStats> check();

 private:
  Result<void> survey();  // touches nothing, refuses what is not supported
  Result<void> gather();  // everything of the processes but page contents
  Result<void> gather_files();
  void count_objects();
  Result<void> write();  // the stream
  void list_tasks();
  Result<void> plan_births();
  Result<void> describe_namespaces();
  Result<void> survey_mounts();
  // Of a process tree, which has its root's.
  Result<void> refuse_apart(ino_t engine::FrozenProcess::* name_space, const char* kind);
  Result<void> survey_ipc();
  Result<std::vector<std::vector<engine::OpenFile>>> look_from_outside();
  Result<void> add_thread_files(engine::FileTable& files, size_t index);
  Result<void> survey_process(size_t index);
  Result<uint64_t> choose_work_area() const;
  // Which private pages there are, and which of them need not be sent.
  Result<void> find_pages();
  Result<void> look_at_pages();
  Result<void> write_space(size_t index);
  size_t holder_of(size_t index) const { return memory_holder(births_, index); }
  bool has_space(size_t index) const {  // of its own
    return !processes_[index].zombie && !births_[index].shares_memory;
  }
  void choose_late_pages(size_t index);
  // What of its pages goes into the stream.
  std::vector<engine::PagePiece> choose_pages(size_t index) const;
  // Those that are physically the creator's, or were sent ahead.
  Result<engine::Ranges> find_inherited(size_t index);

  std::vector<engine::FrozenProcess>& processes_;
  engine::CaptureContext& context_;
  engine::LaneWriter pages_;
  engine::LayoutReader layouts_;
  uint32_t lane_count_;
  bool container_;
  const std::string& first_mounts_;
  MemoryRounds* ahead_;
  MemoryScope scope_;
  const std::vector<engine::ContainerCgroup>& container_cgroups_;
  const engine::InnerFreezers& freezers_;
  CaptureStats stats_;
  image::Tree tree_;
  std::vector<Birth> births_;  // parallel to processes_
  image::Mounts mounts_;
  image::Cgroups cgroups_;
  std::vector<ino_t> cgroup_namespaces_;  // parallel to processes_; 0 for a zombie
  engine::NetworkSurvey* network_survey_ = nullptr;
  std::optional<engine::NetworkSettings> fresh_settings_;
  image::NetworkNamespaces networks_;
  // Parallel to processes_; without mappings for a zombie and for who shares its memory.
  std::vector<image::AddressSpace> spaces_;
  std::vector<image::AioContexts> aio_contexts_;  // likewise
  struct MappedPages {
    sys::Pagemap::Look seen;
    engine::Ranges inherited;         // need not be sent
    engine::Ranges late;              // may come after the group runs again
    std::optional<sys::Range> ahead;  // where the rounds have made the mapping over there
  };
  // Parallel to spaces_ and their mappings; of shared ones the guard regions alone.
  std::vector<std::vector<MappedPages>> pages_of_;
  std::map<size_t, engine::Ranges> for_children_;  // of a space: what a child gets by its fork
  std::vector<const engine::FileKind*> kinds_;
  std::vector<image::File> files_;
  image::Ipc ipc_;
  engine::SeccompFilters seccomp_;
};

}  // namespace martlet::checkpoint
