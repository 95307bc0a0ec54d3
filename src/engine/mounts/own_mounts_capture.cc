#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <ranges>
#include <set>
#include <sstream>

#include "base/fd.h"
#include "engine/files/paths.h"
#include "engine/ipc/posix_queues.h"
#include "engine/mounts/bare_mount.h"
#include "engine/mounts/mount_order.h"
#include "engine/mounts/mount_table.h"
#include "engine/mounts/own_mounts.h"
#include "sys/namespaces.h"
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

// The mount table of a process that has another root directory tells nothing of what is outside.
Result<std::vector<Mount>> mounts_of_namespace(HostPid process) {
  Fd proc = TRY(open_file("/proc", O_PATH | O_DIRECTORY));
  Fd mounts = TRY(sys::open_namespace(process, sys::NamespaceKind::kMount));
  std::string table;
  TRY(sys::run_inside(mounts, sys::NamespaceKind::kMount, [&]() -> Result<void> {
    table = TRY(read_file(proc, "thread-self/mountinfo"));
    return {};
  }));
  return parse_mounts(table);
}

// Whether the root file system of the beginning is that of now.
bool shows_root(const std::vector<Mount>& first, const std::vector<Mount>& now) {
  auto root = std::ranges::find(first, "/", &Mount::point);
  return root != first.end() && find_same(now, *root) != nullptr;
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

bool is_empty(const image::Mounts& mounts) {
  return mounts.removed().empty() && mounts.own().empty() && mounts.changed().empty();
}

class Survey {
 public:
  Survey(CaptureContext& context, std::vector<Mount> first, std::vector<Mount> now,
         const std::vector<Mount>& of_host)
      : context_(context), first_(std::move(first)), now_(std::move(now)) {
    for (const Mount& mount : first_) {
      first_devices_.insert(mount.device);
      if (mount.shared_group != 0) outer_groups_.insert(mount.shared_group);
    }
    for (const Mount& mount : of_host) host_devices_.insert(mount.device);
    for (const Mount& mount : now_) {
      by_id_[mount.id] = &mount;
      if (const Mount* same = find_same(first_, mount))
        kept_[&mount] = same;
      else
        own_.push_back(&mount);
    }
  }

  Result<image::Mounts> describe() {
    if (!shows_root(first_, now_))
      return refuse("the container has another root file system (pivot_root)");
    find_groups();
    find_bases();
    TRY(describe_removed());
    TRY(describe_changed());
    TRY(describe_own());
    return std::move(out_);
  }

 private:
  bool is_outer(uint32_t group) const { return outer_groups_.contains(group); }

  // Who shows most of each group.
  void find_groups() {
    for (const Mount& mount : now_) {
      if (mount.shared_group == 0 || is_outer(mount.shared_group)) continue;
      const Mount*& top = groups_[mount.shared_group];
      if (top == nullptr || mount.root.size() < top->root.size()) top = &mount;
    }
  }

  // Who shows most of each file system that came with the container's own mounts.
  void find_bases() {
    for (const Mount* mount : own_) {
      if (first_devices_.contains(mount->device)) continue;
      const Mount*& base = bases_[mount->device];
      if (base == nullptr || mount->root.size() < base->root.size()) base = mount;
    }
  }

  Result<void> describe_removed() {
    for (const Mount& mount : std::views::reverse(first_)) {
      if (find_same(now_, mount) != nullptr) continue;
      const auto parent = std::ranges::find(first_, mount.parent, &Mount::id);
      if (parent != first_.end() && is_outer(parent->shared_group))
        TRY(context_.judge(refuse(fmt::format(
            "the container has unmounted {}, also from mounts outside of it", mount.point))));
      out_.add_removed(mount.point);
    }
    return {};
  }

  Result<void> describe_changed() {
    for (const auto& [mount, before] : kept_) {
      TRY(context_.judge(check_kept(*mount, *before)));
      image::MountState state = state_of(*mount);
      if (state.SerializeAsString() == state_of(*before).SerializeAsString()) continue;
      TRY(context_.judge(check_group(*mount)));
      image::ChangedMount& changed = *out_.add_changed();
      changed.set_point(mount->point);
      *changed.mutable_state() = std::move(state);
    }
    return {};
  }

  static Result<void> check_kept(const Mount& mount, const Mount& before) {
    const std::string point = "declared mount " + mount.point;
    if (mount.parent != before.parent)
      return refuse(fmt::format("the container has moved the {}", point));
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

  image::MountState state_of(const Mount& mount) const {
    image::MountState state;
    state.set_attributes(mount.attributes);
    if (!is_outer(mount.shared_group)) state.set_shared_group(mount.shared_group);
    if (groups_.contains(mount.master_group))
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
      auto top = groups_.find(group);
      if (top != groups_.end() && !is_at_or_below(mount.root, top->second->root))
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
    if (&base != &mount) return describe_bind(mount, base, numbers_.at(&base), own);
    return describe_file_system(mount, own);
  }

  Result<void> check_own(const Mount& mount) const {
    if (mount.id_mapped) return refuse_mount(mount, "with mapped ids");
    if (mount.root.ends_with(kDeletedRoot))
      return refuse_mount(mount, "and what it shows was removed");
    if (is_outer(mount.shared_group) || is_outer(mount.master_group))
      return refuse_mount(mount, "and has peers outside of it");
    auto parent = by_id_.find(mount.parent);
    if (parent != by_id_.end() && is_outer(parent->second->shared_group))
      return refuse_mount(mount, "which shows outside of it, too");
    return check_group(mount);
  }

  Result<void> describe_file_system(const Mount& mount, image::OwnMount& own) {
    if (!can_be_made(mount.type) || host_devices_.contains(mount.device))
      return refuse_mount(mount, "and what is in it is not known");
    const bool is_whole = mount.root == "/";
    if (!is_whole && (mount.type != "tmpfs" || !TRY(is_directory(mount))))
      return refuse_mount(mount, "and the whole of it is mounted nowhere");
    if (mount.type == "devpts") TRY(check_no_terminals(mount));
    if (mount.type == "mqueue" && mount.device != TRY(device_of_queues(context_.root())))
      return refuse_mount(mount, "of the IPC namespace of single processes");
    own.set_type(mount.type);
    own.set_name(mount.name);
    own.set_options(fmt::format("{}", fmt::join(system_options(mount), ",")));
    return {};
  }

  Result<void> check_no_terminals(const Mount& mount) const {
    Fd point = TRY(open_on_top(mount));
    for (int number = 0; number < kTerminalsToLookFor; ++number)
      if (::faccessat(point.get(), std::to_string(number).c_str(), F_OK, 0) == 0)
        return refuse_mount(mount, fmt::format("and terminal {} of it is open", number));
    return {};
  }

  Result<void> describe_bind_of_declared(const Mount& mount, image::OwnMount& own) {
    const Mount* source = nullptr;
    for (const Mount& declared : first_)
      if (declared.device == mount.device && is_at_or_below(mount.root, declared.root) &&
          (source == nullptr || declared.root.size() > source->root.size()) &&
          !is_hidden_at_first(declared, mount))
        source = &declared;
    if (source == nullptr) return refuse_mount(mount, "of what no declared mount shows");
    image::BoundPlace& place = *own.mutable_place();
    place.set_declared(source->point);
    place.set_path(rest_below(mount.root, source->root));
    return note_kind(mount, own);
  }

  // Whether another declared mount lies between `declared` and what `mount` shows of it.
  bool is_hidden_at_first(const Mount& declared, const Mount& mount) const {
    const std::string shown = path_in(declared, rest_below(mount.root, declared.root));
    return std::ranges::any_of(first_, [&](const Mount& other) {
      if (&other <= &declared) return false;
      return is_at_or_below(shown, other.point);
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
    Fd bare = TRY(open_bare_mount(context_.root(), below));
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
    auto fd = open_below_root(context_.root(), mount.point, O_PATH | O_NOFOLLOW);
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
  const std::vector<Mount> first_;
  const std::vector<Mount> now_;
  std::map<uint64_t, const Mount*> by_id_;
  std::map<const Mount*, const Mount*> kept_;  // and what it was at first
  std::vector<const Mount*> own_;
  std::set<dev_t> first_devices_, host_devices_;
  std::set<uint32_t> outer_groups_;          // that the container was given
  std::map<uint32_t, const Mount*> groups_;  // that the container has made
  std::map<dev_t, const Mount*> bases_;
  std::map<const Mount*, uint32_t> numbers_;
  image::Mounts out_;
};

}  // namespace

bool can_be_made(std::string_view type) {
  constexpr std::array<std::string_view, 5> kTypes = {"tmpfs", "proc", "sysfs", "mqueue", "devpts"};
  return std::ranges::find(kTypes, type) != kTypes.end();
}

Result<image::Mounts> describe_own_mounts(CaptureContext& context, std::string_view first_mounts) {
  const std::string now = TRY(read_file(sys::proc_path(context.root(), "mountinfo")));
  if (now == first_mounts) return image::Mounts();
  const std::vector<Mount> first = parse_mounts(first_mounts);
  std::vector<Mount> mounts = parse_mounts(now);
  const bool sees_all = shows_root(first, mounts);
  if (!sees_all) mounts = TRY(mounts_of_namespace(context.root()));
  const auto of_host = TRY(read_mounts(HostPid(::getpid())));
  auto found = TRY(Survey(context, first, std::move(mounts), of_host).describe());
  if (!sees_all && !is_empty(found))
    return refuse("the container's first process has another root directory than its mounts");
  return found;
}

}  // namespace martlet::engine
