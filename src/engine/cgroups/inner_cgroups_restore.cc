#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <sstream>

#include "base/fd.h"
#include "engine/cgroups/cgroup_knobs.h"
#include "engine/cgroups/inner_cgroups.h"

namespace martlet::engine {
namespace {

using image::Cgroup;

bool is_possible(const Cgroup& cgroup) {
  auto is_setting = [](const image::CgroupKnob& knob) {
    return is_cgroup_name(knob.file()) && is_knob(knob.file(), S_IFREG | 0644);
  };
  auto is_owner = [](const image::CgroupOwner& owner) {
    return owner.file().empty() || is_cgroup_name(owner.file());
  };
  const bool is_own = cgroup.path().empty();  // whose settings are the environment's
  if (is_own && (cgroup.knobs_size() > 0 || cgroup.owners_size() > 0)) return false;
  return is_cgroup_path(cgroup.path()) && std::ranges::all_of(cgroup.knobs(), is_setting) &&
         std::ranges::all_of(cgroup.owners(), is_owner) &&
         std::ranges::all_of(cgroup.controllers(), is_cgroup_name);
}

std::string link_of(const ContainerCgroup& base, const Cgroup& cgroup) {
  return fmt::format("cgroup /{} of {}", cgroup.path(), base.name());
}

Result<void> write_knobs(const std::string& directory, const Cgroup& cgroup) {
  for (const image::CgroupKnob& knob : cgroup.knobs())
    TRY_IN(write_knob(directory, knob), fmt::format("{} = {}", knob.file(), knob.value()));
  return {};
}

// Limits of version 1 come before the tasks, which a cpuset without processors does not take; those
// of version 2 after, when the cgroups above hold no task any more and may give controllers.
Result<void> make(const ContainerCgroup& base, const Cgroup& cgroup) {
  if (!is_possible(cgroup)) return fail(Code::kBadImage, "is not possible");
  if (cgroup.path().empty()) return {};
  const std::string directory = directory_of(base, cgroup.path());
  if (::mkdir(directory.c_str(), 0755) != 0) return fail_errno("make it");
  if (base.is_v2() && cgroup.threaded()) return write_file(directory + "/cgroup.type", "threaded");
  return base.is_v2() ? Result<void>() : write_knobs(directory, cgroup);
}

Result<void> move_task(const ApplyContext& context, const std::string& list, int32_t inside) {
  const auto task = context.task(NsPid(inside));
  if (!task) return fail(Code::kBadImage, fmt::format("holds task {}, which there is not", inside));
  return in_context(write_file(list, to_string(*task)), fmt::format("take task {}", inside));
}

Result<void> take_processes(const ApplyContext& context, const ContainerCgroup& base,
                            const Cgroup& cgroup) {
  for (int32_t process : cgroup.processes())
    TRY(move_task(context, directory_of(base, cgroup.path()) + "/cgroup.procs", process));
  return {};
}

Result<void> take_threads(const ApplyContext& context, const ContainerCgroup& base,
                          const Cgroup& cgroup) {
  const char* list = base.is_v2() ? "/cgroup.threads" : "/tasks";
  for (int32_t thread : cgroup.threads())
    TRY(move_task(context, directory_of(base, cgroup.path()) + list, thread));
  return {};
}

// Each cgroup comes after the one above it, which decides what there is to set.
Result<void> give_controllers(const std::string& directory, const Cgroup& cgroup) {
  const std::string control = directory + "/cgroup.subtree_control";
  std::vector<std::string> now;
  std::istringstream words(TRY(read_file(control)));
  for (std::string name; words >> name;) now.push_back(name);
  for (const std::string& name : cgroup.controllers())
    if (std::ranges::find(now, name) == now.end())
      TRY_IN(write_file(control, "+" + name), "controller " + name);
  return {};
}

Result<void> set_version2(const ApplyContext& /*context*/, const ContainerCgroup& base,
                          const Cgroup& cgroup) {
  if (!base.is_v2()) return {};
  const std::string directory = directory_of(base, cgroup.path());
  TRY(write_knobs(directory, cgroup));
  return give_controllers(directory, cgroup);
}

Result<void> set_owners(const ApplyContext& /*context*/, const ContainerCgroup& base,
                        const Cgroup& cgroup) {
  for (const image::CgroupOwner& owner : cgroup.owners()) {
    const std::string path = directory_of(base, cgroup.path()) + "/" + owner.file();
    if (::chown(path.c_str(), owner.user(), owner.group()) != 0 && errno != ENOENT)
      return fail_errno("set the owner of " + owner.file());
    if (::chmod(path.c_str(), owner.mode() & ALLPERMS) != 0 && errno != ENOENT)
      return fail_errno("set the mode of " + owner.file());
  }
  return {};
}

Result<void> freeze(const ApplyContext& /*context*/, const ContainerCgroup& base,
                    const Cgroup& cgroup) {
  if (!base.is_v2() || !cgroup.frozen()) return {};
  return write_file(directory_of(base, cgroup.path()) + "/cgroup.freeze", "1");
}

}  // namespace

Result<InnerCgroups> InnerCgroups::create(const ApplyContext& context, image::Cgroups image) {
  InnerCgroups inner;
  const auto bases = TRY(cgroups_of_sandbox(context.root()));
  for (const image::CgroupHierarchy& hierarchy : image.hierarchies()) {
    auto base = std::ranges::find(bases, hierarchy.name(), &ContainerCgroup::hierarchy);
    if (base == bases.end())
      return std::unexpected(
          Error(Code::kUnsupported,
                fmt::format("the container has cgroups of {}, which this host has not mounted",
                            hierarchy.name().empty() ? "cgroup v2" : hierarchy.name()))
              .with_remedy("mount it at both hosts in the same way"));
    for (const Cgroup& cgroup : hierarchy.cgroups())
      TRY_IN(make(*base, cgroup), link_of(*base, cgroup));
    inner.bases_.push_back(*base);
  }
  inner.image_ = std::move(image);
  return inner;
}

Result<void> InnerCgroups::make_namespaces(DescriptorChannel& channel,
                                           const LeaderOf& leader_of) const {
  return apply_cgroup_namespaces(image_, bases_, channel, leader_of);
}

Result<void> InnerCgroups::finish(const ApplyContext& context) const {
  for (auto step : {take_processes, take_threads, set_version2, set_owners, freeze})
    for (size_t i = 0; i < bases_.size(); ++i)
      for (const Cgroup& cgroup : image_.hierarchies(static_cast<int>(i)).cgroups())
        TRY_IN(step(context, bases_[i], cgroup), link_of(bases_[i], cgroup));
  return {};
}

}  // namespace martlet::engine
