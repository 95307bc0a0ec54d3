#include "engine/mounts/mount_survey.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <functional>
#include <optional>
#include <ranges>
#include <sstream>
#include <utility>

#include "base/fd.h"
#include "engine/files/paths.h"
#include "engine/ipc/posix_queues.h"
#include "engine/mounts/bare_mount.h"
#include "engine/mounts/mount_order.h"
#include "engine/mounts/own_mounts.h"
#include "sys/detached_mount.h"
#include "sys/procfs.h"

namespace martlet::engine {
namespace {

constexpr std::string_view kDeletedRoot = "//deleted";

std::unexpected<Error> refuse(std::string what) {
  return std::unexpected(Error(Code::kUnsupported, std::move(what))
                             .with_remedy("declare it in the bundle or as a volume instead"));
}

std::unexpected<Error> refuse_mount(const Mount& mount, std::string_view why) {
  return refuse(
      fmt::format("the container has mounted {} ({}) itself, {}", mount.point, mount.type, why));
}

std::vector<std::string> system_options(const Mount& mount) {
  std::vector<std::string> options;
  std::istringstream words(mount.system);
  for (std::string word; std::getline(words, word, ',');)
    if (word != "rw" && word != "ro" && word != "seclabel") options.push_back(word);
  return options;
}

bool has_read_only_files(const Mount& mount) {
  return mount.system == "ro" || mount.system.starts_with("ro,");
}

// Nothing if the path leads nowhere.
std::optional<uint64_t> mount_at(const MountView& view, const std::string& path) {
  auto fd = open_below(view.root, path, O_PATH | O_NOFOLLOW);
  struct statx status{};
  if (!fd || ::statx(fd->get(), "", AT_EMPTY_PATH, STATX_MNT_ID, &status) != 0) return std::nullopt;
  return status.stx_mnt_id;
}

class Survey {
 public:
  Survey(CaptureContext& context, const SurveyedNamespace& surveyed, const PeerGroups& groups)
      : context_(context),
        surveyed_(surveyed),
        groups_(groups),
        first_(surveyed.first),
        now_(surveyed.now) {
    for (const Mount& mount : first_) first_devices_.insert(mount.device);
    for (const Mount& mount : now_) {
      by_id_[mount.id] = &mount;
      if (const Mount* same = find_same(first_, mount))
        kept_.emplace_back(&mount, same);
      else
        own_.push_back(&mount);
    }
  }

  Result<image::Mounts> describe() {
    const bool is_of_first = shows_root(first_, now_);
    if (!is_of_first && !is_copy())
      return refuse("the container has another root file system (pivot_root)");
    find_bases();
    if (is_of_first) TRY(describe_removed());
    TRY(describe_changed());
    TRY(describe_own());
    return std::move(out_);
  }

 private:
  bool is_outer(uint32_t group) const { return groups_.is_outer(group); }
  bool is_copy() const { return surveyed_.source != nullptr; }

  // Who shows most of each file system that came with the container's own mounts.
  void find_bases() {
    for (const Mount* mount : own_) {
      if (first_devices_.contains(mount->device)) continue;
      const Mount*& base = bases_[mount->device];
      if (base == nullptr || mount->root.size() < base->root.size()) base = mount;
    }
  }

  Result<void> describe_removed() {
    std::vector<const Mount*> removed;
    for (const Mount& mount : std::views::reverse(first_))
      if (find_same(now_, mount) == nullptr) removed.push_back(&mount);
    std::ranges::stable_sort(removed, std::greater(),
                             [&](const Mount* mount) { return depth(*mount); });
    for (const Mount* mount : removed) {
      TRY(context_.judge(check_removed(*mount)));
      out_.add_removed(mount->point);
    }
    return {};
  }

  // How many mounts it lies on; a chain of parents is no longer than there are mounts.
  size_t depth(const Mount& mount) const {
    size_t depth = 0;
    for (const Mount* at = &mount; at != nullptr && depth < first_.size(); ++depth) {
      auto parent = std::ranges::find(first_, at->parent, &Mount::id);
      at = parent == first_.end() ? nullptr : &*parent;
    }
    return depth;
  }

  Result<void> check_removed(const Mount& mount) const {
    if (is_copy())
      return is_on_top_in_source(mount, mount.point)
                 ? Result<void>()
                 : refuse(
                       fmt::format("{}, which another mount hides, is not mounted", mount.point));
    const auto parent = std::ranges::find(first_, mount.parent, &Mount::id);
    if (parent != first_.end() && is_outer(parent->shared_group))
      return refuse(fmt::format("the container has unmounted {}, also from mounts outside of it",
                                mount.point));
    return {};
  }

  // Whether the path leads to the mount, or to one that is removed before it, where it was made.
  bool is_on_top_in_source(const Mount& mount, const std::string& path) const {
    auto id = mount_at(*surveyed_.source, path);
    for (size_t i = 0; id && i < first_.size(); ++i)
      if ((*surveyed_.of_source)[i].id == *id)
        return &first_[i] == &mount ||
               (first_[i].point == mount.point && find_same(now_, first_[i]) == nullptr);
    return false;
  }

  Result<void> describe_changed() {
    for (const auto& [mount, before] : kept_) {
      TRY(context_.judge(check_kept(*mount, *before)));
      image::MountState state = state_of(*mount);
      if (!is_copy() && state.SerializeAsString() == state_of(*before).SerializeAsString())
        continue;
      TRY(context_.judge(check_group(*mount)));
      image::ChangedMount& changed = *out_.add_changed();
      changed.set_point(mount->point);
      *changed.mutable_state() = std::move(state);
    }
    return {};
  }

  Result<void> check_kept(const Mount& mount, const Mount& before) const {
    const std::string point = "declared mount " + mount.point;
    if (mount.parent != before.parent)
      return refuse(fmt::format("the container has moved the {}", point));
    if (is_copy()) return check_copy(mount, before);
    if (before.shared_group != 0 && mount.shared_group != before.shared_group)
      return refuse(fmt::format("the container has cut the {} off from its peers outside", point));
    if (mount.id_mapped != before.id_mapped)
      return refuse(fmt::format("the container has mapped ids of the {}", point));
    if (system_options(mount) != system_options(before) && can_be_made(mount.type))
      return refuse(fmt::format("the container has changed options of the {}", point));
    const bool read_only = has_read_only_files(mount);
    if (read_only != has_read_only_files(before) && (!read_only || mount.type != "tmpfs"))
      return refuse(fmt::format("the container has remounted the file system of the {} as {}",
                                point, read_only ? "read-only" : "writable"));
    return {};
  }

  // Copies are private at first, or slaves of what has peers outside.
  Result<void> check_copy(const Mount& mount, const Mount& before) const {
    if (!is_shown_at_first(before, before.point))
      return refuse(fmt::format("another mount hides {} where it comes from", mount.point));
    if (is_outer(mount.shared_group))
      return refuse(fmt::format("{} shares its mounts with others outside", mount.point));
    if (mount.type == "proc" && shown_processes(*surveyed_.source, before.point) != 0)
      return refuse(fmt::format("{} shows a PID namespace nested elsewhere", mount.point));
    if (mount.master_group != 0 && groups_.top(mount.master_group) == nullptr &&
        mount.master_group != before.master_group && mount.master_group != before.shared_group)
      return refuse(fmt::format("{} gets mounts from outside", mount.point));
    return check_writable(mount);
  }

  // The contents of a tmpfs are those of the first namespace that shows it, if it can be written to
  // there.
  Result<void> check_writable(const Mount& mount) const {
    const bool is_hidden = is_copy() && mount.type == "tmpfs" && !mount.read_only &&
                           first_devices_.contains(mount.device) &&
                           std::ranges::all_of(*surveyed_.of_source, [&](const Mount& other) {
                             return other.device != mount.device || other.read_only;
                           });
    if (is_hidden)
      return refuse(fmt::format("{} can be written to, unlike where it comes from", mount.point));
    return {};
  }

  image::MountState state_of(const Mount& mount) const {
    image::MountState state;
    state.set_attributes(mount.attributes);
    state.set_outer_peer(is_outer(mount.shared_group));
    if (!state.outer_peer()) state.set_shared_group(mount.shared_group);
    if (groups_.top(mount.master_group) != nullptr)
      state.set_master_group(mount.master_group);
    else
      state.set_outer_master(mount.master_group != 0);
    state.set_unbindable(mount.unbindable);
    state.set_read_only_files(mount.type == "tmpfs" && has_read_only_files(mount));
    if (state.shared_group() != 0) state.set_depth(static_cast<uint32_t>(mount.root.size()));
    return state;
  }

  // A mount joins its group by one that shows at least as much.
  Result<void> check_group(const Mount& mount) const {
    for (uint32_t group : {mount.shared_group, mount.master_group}) {
      const Mount* top = groups_.top(group);
      if (top != nullptr && !is_at_or_below(mount.root, top->root))
        return refuse_mount(mount, "and it shares its mounts with one of another directory");
    }
    return {};
  }

  Result<void> describe_own() {
    std::vector<PlannedMount> plan;
    for (const Mount* mount : own_) {
      auto base = bases_.find(mount->device);
      bool shows_other = base != bases_.end() && base->second != mount;
      plan.push_back({mount->id, mount->parent, mount->point, shows_other ? base->second->id : 0});
    }
    auto order = order_of_mounting(plan);
    if (!order) return refuse("the container's own mounts hide each other, in no order to repeat");
    for (size_t index : *order) {
      const Mount& mount = *own_[index];
      if (is_late(mount)) {
        TRY(context_.judge(describe_late(mount)));
        continue;
      }
      image::OwnMount& own = *out_.add_own();
      numbers_[&mount] = static_cast<uint32_t>(out_.own_size());
      TRY(context_.judge(describe_one(mount, own)));
    }
    return {};
  }

  Result<void> describe_one(const Mount& mount, image::OwnMount& own) {
    TRY(check_own(mount));
    own.set_point(mount.point);
    *own.mutable_state() = state_of(mount);
    if (first_devices_.contains(mount.device)) return describe_bind_of_declared(mount, own);
    const Mount& base = *bases_.at(mount.device);
    if (&base != &mount && !numbers_.contains(&base))
      return refuse_mount(mount, "in the proc of a nested PID namespace");
    if (&base != &mount) return describe_bind(mount, base, numbers_.at(&base), own);
    return describe_file_system(mount, own);
  }

  Result<void> check_own(const Mount& mount) const {
    if (mount.id_mapped) return refuse_mount(mount, "with mapped ids");
    if (mount.root.ends_with(kDeletedRoot))
      return refuse_mount(mount, "and what it shows was removed");
    if (is_outer(mount.shared_group) || is_outer(mount.master_group) || has_unknown_master(mount))
      return refuse_mount(mount, "and has peers outside of it");
    auto parent = by_id_.find(mount.parent);
    if (parent != by_id_.end() && is_outer(parent->second->shared_group))
      return refuse_mount(mount, "which shows outside of it, too");
    return check_group(mount);
  }

  // It has the master of what it shows, or one of the container's.
  bool has_unknown_master(const Mount& mount) const {
    return mount.master_group != 0 && groups_.top(mount.master_group) == nullptr &&
           std::ranges::none_of(first_, [&](const Mount& other) {
             return other.device == mount.device && other.master_group == mount.master_group;
           });
  }

  Result<void> describe_file_system(const Mount& mount, image::OwnMount& own) {
    if (!can_be_made(mount.type) || surveyed_.foreign.contains(mount.device))
      return refuse_mount(mount, "and what is in it is not known");
    const bool is_whole = mount.root == "/";
    if (!is_whole && (mount.type != "tmpfs" || !TRY(is_directory(mount))))
      return refuse_mount(mount, "and the whole of it is mounted nowhere");
    if (mount.type == "devpts") TRY(check_no_terminals(mount));
    if (mount.type == "mqueue" && mount.device != TRY(device_of_queues(context_.root())))
      return refuse_mount(mount, "of the IPC namespace of single processes");
    if (mount.type == "sysfs" && mount.device != TRY(device_of_sysfs()))
      return refuse_mount(mount, "of the network namespace of single processes");
    own.set_type(mount.type);
    own.set_name(mount.name);
    own.set_options(fmt::format("{}", fmt::join(system_options(mount), ",")));
    return {};
  }

  // Of the root's network.
  Result<dev_t> device_of_sysfs() const {
    struct stat status{};
    TRY(run_in_namespace(context_.root(), "net", [&]() -> Result<void> {
      const Fd top = TRY(sys::open_detached("sysfs"));
      if (::fstat(top.get(), &status) != 0) return fail_errno("stat sysfs");
      return {};
    }));
    return status.st_dev;
  }

  Result<void> check_no_terminals(const Mount& mount) const {
    Fd point = TRY(open_on_top(mount));
    for (int number = 0; number < kTerminalsToLookFor; ++number)
      if (::faccessat(point.get(), std::to_string(number).c_str(), F_OK, 0) == 0)
        return refuse_mount(mount, fmt::format("and terminal {} of it is open", number));
    return {};
  }

  // Which PID namespace the proc on top of a point shows; 0: that of the root, or it cannot be
  // seen.
  ino_t shown_processes(const MountView& view, const std::string& point) const {
    auto top = open_below(view.root, point, O_PATH | O_NOFOLLOW);
    struct stat shown{}, ours{};
    if (!top || ::fstatat(top->get(), "1/ns/pid", &shown, 0) != 0 ||
        ::stat(sys::proc_path(context_.root(), "ns/pid").c_str(), &ours) != 0 ||
        shown.st_ino == ours.st_ino)
      return 0;
    return shown.st_ino;
  }

  // Who can mount it again: a process of that PID namespace, when all else is there.
  Result<int32_t> showing_process(const Mount& mount, ino_t name_space) const {
    auto process = surveyed_.pid_namespaces.find(name_space);
    if (process == surveyed_.pid_namespaces.end())
      return refuse_mount(mount, "of a PID namespace that nobody in its mount namespace lives in");
    for (const Mount* other : own_)
      if (other != &mount && (other->device == mount.device || other->parent == mount.id))
        return refuse_mount(*other, "in the proc of a nested PID namespace");
    return process->second;
  }

  bool is_late(const Mount& mount) const {
    return mount.type == "proc" && !first_devices_.contains(mount.device) &&
           mount_at(surveyed_.view, mount.point) == mount.id &&
           shown_processes(surveyed_.view, mount.point) != 0;
  }

  Result<void> describe_late(const Mount& mount) {
    image::OwnMount late;
    TRY(check_own(mount));
    late.set_point(mount.point);
    *late.mutable_state() = state_of(mount);
    TRY(describe_file_system(mount, late));
    late.set_process(TRY(showing_process(mount, shown_processes(surveyed_.view, mount.point))));
    *out_.add_late() = std::move(late);
    return {};
  }

  Result<void> describe_bind_of_declared(const Mount& mount, image::OwnMount& own) {
    const Mount* source = nullptr;
    for (const Mount& declared : first_)
      if (declared.device == mount.device && is_at_or_below(mount.root, declared.root) &&
          (source == nullptr || declared.root.size() > source->root.size()) &&
          is_shown_at_first(declared, path_in(declared, rest_below(mount.root, declared.root))))
        source = &declared;
    if (source == nullptr) return refuse_mount(mount, "of what no declared mount shows");
    TRY(check_writable(mount));
    image::BoundPlace& place = *own.mutable_place();
    place.set_declared(source->point);
    place.set_path(rest_below(mount.root, source->root));
    return note_kind(mount, own);
  }

  // Whether no other mount lies between `declared` and what it shows at this path.
  bool is_shown_at_first(const Mount& declared, const std::string& shown) const {
    if (is_copy()) {
      const auto index = static_cast<size_t>(&declared - first_.data());
      return mount_at(*surveyed_.source, shown) == (*surveyed_.of_source)[index].id;
    }
    return std::ranges::none_of(first_, [&](const Mount& other) {
      return &other > &declared && is_at_or_below(shown, other.point);
    });
  }

  static std::string path_in(const Mount& mount, const std::string& rest) {
    if (rest.empty()) return mount.point;
    return (mount.point == "/" ? "" : mount.point) + "/" + rest;
  }

  Result<void> describe_bind(const Mount& mount, const Mount& base, uint32_t number,
                             image::OwnMount& own) {
    if (!is_at_or_below(mount.root, base.root))
      return refuse_mount(mount, "and the whole of it is mounted nowhere");
    const std::string rest = rest_below(mount.root, base.root);
    const std::string shown = path_in(base, rest);
    for (const auto& [other, made] : numbers_)
      if (other->parent == base.id && other != &mount && is_at_or_below(shown, other->point))
        return refuse_mount(mount, fmt::format("and {} hides what it shows", other->point));
    image::BoundPlace& place = *own.mutable_place();
    place.set_own(number);
    place.set_path(rest);
    return note_kind(mount, own);
  }

  // The names of a file in a tmpfs are put there one after the other, so a mount that shows it or
  // lies on it may end up with an old one.
  Result<void> note_kind(const Mount& mount, image::OwnMount& own) const {
    Fd shown = TRY(open_on_top(mount));
    struct stat status{};
    if (::fstat(shown.get(), &status) != 0) return fail_errno("stat " + mount.point);
    if (mount.type == "tmpfs" && !S_ISDIR(status.st_mode) && status.st_nlink > 1)
      return refuse_mount(mount, "and it shows a file that has several names");
    own.mutable_place()->set_directory(S_ISDIR(status.st_mode));
    return S_ISDIR(status.st_mode) ? Result<void>() : check_covered_file(mount);
  }

  Result<void> check_covered_file(const Mount& mount) const {
    auto parent = by_id_.find(mount.parent);
    if (parent == by_id_.end() || parent->second->type != "tmpfs") return {};
    const std::string& below = parent->second->point;
    Fd bare = TRY(open_bare_mount(surveyed_.view, below));
    struct stat status{};
    if (::fstatat(bare.get(), rest_below(mount.point, below).c_str(), &status,
                  AT_SYMLINK_NOFOLLOW) != 0)
      return refuse_mount(mount, "and another mount hides it");
    if (status.st_nlink > 1) return refuse_mount(mount, "on a file that has several names");
    return {};
  }

  Result<bool> is_directory(const Mount& mount) const {
    struct stat status{};
    if (::fstat(TRY(open_on_top(mount)).get(), &status) != 0)
      return fail_errno("stat " + mount.point);
    return S_ISDIR(status.st_mode);
  }

  // What lies at the mount's point: itself or a mount on top of it, which is of the same kind.
  Result<Fd> open_on_top(const Mount& mount) const {
    auto fd = open_below(surveyed_.view.root, mount.point, O_PATH | O_NOFOLLOW);
    struct statx status{};
    if (!fd || ::statx(fd->get(), "", AT_EMPTY_PATH, STATX_MNT_ID, &status) != 0)
      return refuse_mount(mount, "and another mount hides it");
    auto found = by_id_.find(status.stx_mnt_id);
    if (found == by_id_.end() || found->second->point != mount.point)
      return refuse_mount(mount, "and another mount hides it");
    return fd;
  }

  static constexpr int kTerminalsToLookFor = 4096;  // the kernel's usual limit, kernel.pty.max

  CaptureContext& context_;
  const SurveyedNamespace& surveyed_;
  const PeerGroups& groups_;
  const std::vector<Mount>& first_;
  const std::vector<Mount>& now_;
  std::map<uint64_t, const Mount*> by_id_;
  std::vector<std::pair<const Mount*, const Mount*>> kept_;  // and what it was at first
  std::vector<const Mount*> own_;
  std::set<dev_t> first_devices_;
  std::map<dev_t, const Mount*> bases_;
  std::map<const Mount*, uint32_t> numbers_;
  image::Mounts out_;
};

}  // namespace

PeerGroups::PeerGroups(const std::vector<Mount>& declared) {
  for (const Mount& mount : declared)
    if (mount.shared_group != 0) outer_.insert(mount.shared_group);
}

void PeerGroups::add(const std::vector<Mount>& mounts) {
  for (const Mount& mount : mounts) {
    if (mount.shared_group == 0 || is_outer(mount.shared_group)) continue;
    const Mount*& top = tops_[mount.shared_group];
    if (top == nullptr || mount.root.size() < top->root.size()) top = &mount;
  }
}

const Mount* PeerGroups::top(uint32_t group) const {
  auto found = tops_.find(group);
  return found == tops_.end() ? nullptr : found->second;
}

bool shows_root(const std::vector<Mount>& first, const std::vector<Mount>& now) {
  auto root = std::ranges::find(first, "/", &Mount::point);
  return root != first.end() && find_same(now, *root) != nullptr;
}

Result<image::Mounts> survey_mounts(CaptureContext& context, const SurveyedNamespace& surveyed,
                                    const PeerGroups& groups) {
  return Survey(context, surveyed, groups).describe();
}

}  // namespace martlet::engine
