#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <sstream>

#include "base/fd.h"
#include "engine/cgroups/cgroup_knobs.h"
#include "engine/cgroups/inner_cgroups.h"

namespace martlet::engine {
namespace {

constexpr mode_t kDirectoryMode = S_IFDIR | 0755;
constexpr const char* kDeviceList = "devices.list";

struct Member {
  NsPid tid;
  HostPid leader;
};
using Members = std::map<HostPid, Member>;  // by the numbers of their threads

Members members_of(const std::vector<FrozenProcess>& processes) {
  Members members;
  for (const FrozenProcess& process : processes)
    for (const FrozenThread& thread : process.threads)
      members[thread.tracee.tid()] = {thread.tid, process.living};
  return members;
}

std::string name_of(const ContainerCgroup& base, const std::string& path) {
  return fmt::format("cgroup /{} of {}", path, base.name());
}

// Those of one hierarchy.
class Survey {
 public:
  Survey(CaptureContext& context, const ContainerCgroup& base, const Members& members,
         const std::vector<std::string>& frozen, image::CgroupHierarchy& out)
      : context_(context), base_(base), members_(members), frozen_(frozen), out_(out) {}

  Result<void> run() {
    out_.set_name(base_.hierarchy);
    TRY(describe("", *out_.add_cgroups()));
    note_tasks();
    return {};
  }

 private:
  Result<void> describe(const std::string& path, image::Cgroup& cgroup) {
    cgroup.set_path(path);
    TRY(context_.judge_in(name_of(base_, path), [&]() -> Result<void> {
      if (base_.is_v2()) TRY(describe_version2(path, cgroup));
      TRY(find_tasks(path));
      return path.empty() ? Result<void>() : describe_settings(path, cgroup);
    }));
    if (!has_cgroups_below(directory_of(base_, path))) return {};
    for (const std::string& name : TRY(cgroups_below(directory_of(base_, path))))
      TRY(describe(path.empty() ? name : path + "/" + name, *out_.add_cgroups()));
    return {};
  }

  Result<void> describe_version2(const std::string& path, image::Cgroup& cgroup) const {
    const std::string directory = directory_of(base_, path);
    std::istringstream controllers(TRY(read_file(directory + "/cgroup.subtree_control")));
    for (std::string name; controllers >> name;) cgroup.add_controllers(name);
    if (path.empty()) return {};
    cgroup.set_threaded(TRY(read_file(directory + "/cgroup.type")).starts_with("threaded"));
    cgroup.set_frozen(std::ranges::find(frozen_, directory) != frozen_.end());
    return {};
  }

  // The container's own cgroup may hold tasks of others, such as a command that is being started.
  Result<void> find_tasks(const std::string& path) {
    const char* list = base_.is_v2() ? "/cgroup.threads" : "/tasks";
    std::istringstream tasks(TRY(read_file(directory_of(base_, path) + list)));
    for (pid_t number = 0; tasks >> number;) {
      const HostPid task(number);
      if (members_.contains(task))
        path_of_[task] = path;
      else if (!path.empty())
        return fail(Code::kUnsupported,
                    fmt::format("holds task {}, which is not of the container", number));
    }
    return {};
  }

  Result<void> describe_settings(const std::string& path, image::Cgroup& cgroup) const {
    const std::string directory = directory_of(base_, path);
    const Fd opened = TRY(open_file(directory, O_RDONLY | O_DIRECTORY));
    for (const auto& entry : std::filesystem::directory_iterator(directory)) {
      const std::string file = entry.path().filename();
      struct stat status{};
      if (::fstatat(opened.get(), file.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0 ||
          !S_ISREG(status.st_mode))
        continue;
      if (status.st_uid != 0 || status.st_gid != 0) note_owner(file, status, cgroup);
      if (is_knob(file, status.st_mode)) TRY(note_knob(directory, file, cgroup));
    }
    std::ranges::sort(*cgroup.mutable_knobs(), {}, &image::CgroupKnob::file);
    struct stat status{};
    if (::fstat(opened.get(), &status) != 0) return fail_errno("look at " + directory);
    if (status.st_uid != 0 || status.st_gid != 0 || status.st_mode != kDirectoryMode)
      note_owner("", status, cgroup);
    return check_devices(directory);
  }

  static void note_owner(const std::string& file, const struct stat& status,
                         image::Cgroup& cgroup) {
    image::CgroupOwner& owner = *cgroup.add_owners();
    owner.set_file(file);
    owner.set_user(status.st_uid);
    owner.set_group(status.st_gid);
    owner.set_mode(status.st_mode & ALLPERMS);
  }

  static Result<void> note_knob(const std::string& directory, const std::string& file,
                                image::Cgroup& cgroup) {
    auto value = read_knob(directory, file);
    if (!value) return {};
    if (is_set_for_a_device(*value))
      return fail(
          Code::kUnsupported,
          fmt::format("{} is set for a single device, whose number is another elsewhere", file));
    image::CgroupKnob& knob = *cgroup.add_knobs();
    knob.set_file(file);
    knob.set_value(*value);
    return {};
  }

  // Which devices its tasks may use (v1) is told by a list that cannot be written as it is read.
  static Result<void> check_devices(const std::string& directory) {
    const auto list = read_file(directory + "/" + kDeviceList);
    if (!list || *list == read_file(directory + "/../" + kDeviceList).value_or("")) return {};
    return fail(Code::kUnsupported, "allows other devices than the one above it");
  }

  void note_tasks() {
    std::map<std::string, image::Cgroup*> by_path;
    for (image::Cgroup& cgroup : *out_.mutable_cgroups()) by_path[cgroup.path()] = &cgroup;
    for (const auto& [task, path] : path_of_) {
      const Member& member = members_.at(task);
      if (task == member.leader) {
        if (!path.empty()) by_path[path]->add_processes(member.tid.value);
      } else if (auto leader = path_of_.find(member.leader);
                 leader == path_of_.end() || leader->second != path) {
        by_path[path]->add_threads(member.tid.value);
      }
    }
  }

  CaptureContext& context_;
  const ContainerCgroup& base_;
  const Members& members_;
  const std::vector<std::string>& frozen_;
  image::CgroupHierarchy& out_;
  std::map<HostPid, std::string> path_of_;
};

}  // namespace

Result<void> describe_inner_cgroups(CaptureContext& context,
                                    const std::vector<FrozenProcess>& processes,
                                    const std::vector<ContainerCgroup>& cgroups,
                                    const std::vector<std::string>& frozen, image::Cgroups& image) {
  Members members;
  for (const ContainerCgroup& base : cgroups) {
    if (!has_cgroups_below(base.directory)) continue;
    if (members.empty()) members = members_of(processes);
    TRY(Survey(context, base, members, frozen, *image.add_hierarchies()).run());
  }
  return {};
}

}  // namespace martlet::engine
