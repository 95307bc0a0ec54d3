#include "engine/network/network_namespaces.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>
#include <sys/stat.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <numeric>
#include <set>

#include "engine/files/descriptions.h"
#include "engine/tasks/join_namespace.h"
#include "sys/namespaces.h"
#include "sys/procfs.h"
#include "sys/user_namespace.h"

namespace martlet::engine {
namespace {

ino_t network_of(HostPid process) {
  struct stat status{};
  const std::string path = sys::proc_path(sys::living_thread(process), "ns/net");
  return ::stat(path.c_str(), &status) == 0 ? status.st_ino : 0;
}

// In which processes live that are not of the group; this one is among them.
std::set<ino_t> networks_of_others(const CaptureContext& context) {
  std::set<ino_t> networks;
  std::error_code failed;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", failed)) {
    const std::string name = entry.path().filename();
    int pid = 0;
    if (std::from_chars(name.data(), name.data() + name.size(), pid).ec != std::errc()) continue;
    if (!context.task(HostPid(pid))) networks.insert(network_of(HostPid(pid)));
  }
  return networks;
}

bool leads_to_network(const OpenFile& file) {
  return file.link.starts_with("net:[");
}

class Search {
 public:
  Search(CaptureContext& context, ino_t of_root) : context_(context) { known_[of_root] = 0; }

  Result<void> add_home(const FrozenProcess& process) {
    auto found = known_.find(process.network_namespace);
    if (found == known_.end())
      found = add(process.network_namespace,
                  TRY(sys::open_namespace(process.living, sys::NamespaceKind::kNetwork)));
    if (found->second == 0) return {};
    out_.mutable_namespaces(static_cast<int>(found->second - 1))
        ->add_processes(process.ns_pid.value);
    return {};
  }

  Result<void> place_descriptor(OpenFile& file) {
    file.network = number_of(file.status.st_ino);
    if (file.network != Networks::kForeign || !is_of_group(file.status.st_ino)) return {};
    file.network = add(file.status.st_ino, TRY(reopen(file.fd, O_RDONLY)))->second;
    return {};
  }

  Result<void> place_socket(OpenFile& file) {
    file.network = TRY(context_.networks().of_socket(file.fd));
    if (file.network != Networks::kForeign) return {};
    Fd made_in = TRY(sys::network_of_socket(file.fd));
    const ino_t inode = TRY(sys::number_of_namespace(made_in));
    if (is_of_group(inode)) file.network = add(inode, std::move(made_in))->second;
    return {};
  }

  image::NetworkNamespaces found() && { return std::move(out_); }

 private:
  using Known = std::map<ino_t, uint32_t>;

  Known::iterator add(ino_t inode, Fd name_space) {
    out_.add_namespaces();
    return known_.emplace(inode, context_.networks().add(std::move(name_space))).first;
  }

  uint32_t number_of(ino_t inode) const {
    const auto found = known_.find(inode);
    return found == known_.end() ? Networks::kForeign : found->second;
  }

  // Of one that no process of the group lives in.
  bool is_of_group(ino_t inode) {
    if (!others_) others_ = networks_of_others(context_);
    return !others_->contains(inode);
  }

  CaptureContext& context_;
  Known known_;
  std::optional<std::set<ino_t>> others_;
  image::NetworkNamespaces out_;
};

// Who lives in it enters the user namespaces from the outermost inwards, and it on the way.
Result<uint32_t> owner_of(const Fd& name_space, const image::NetworkNamespace& image,
                          const std::vector<FrozenProcess>& processes, const UserNamespaces& known,
                          const image::Tree& tree) {
  const Fd owner = TRY(sys::user_namespace_of(name_space));
  const auto found = known.find(TRY(sys::number_of_namespace(owner)));
  auto may_enter = [&](const FrozenProcess& process) {
    return std::ranges::find(image.processes(), process.ns_pid.value) == image.processes().end() ||
           is_within(tree, known.at(process.user_namespace), found->second);
  };
  if (found == known.end() || !std::ranges::all_of(processes, may_enter))
    return fail(Code::kUnsupported,
                "belongs to a user namespace that the process is not in, which is not supported");
  return found->second;
}

std::string name_of(const image::NetworkNamespace& image) {
  if (image.processes().empty()) return "network namespace that only descriptors lead to";
  return fmt::format("network namespace of process {}", image.processes(0));
}

Result<Fd> make_one(const UserNamespacesRestore& users, uint32_t user_namespace) {
  if (user_namespace == 0) return sys::new_namespace(sys::NamespaceKind::kNetwork);
  return sys::make_network_namespace(TRY(users.open(user_namespace)));
}

}  // namespace

std::map<ino_t, HostPid> networks_below(HostPid root) {
  std::map<ino_t, HostPid> networks;
  for (HostPid process : sys::list_tree(root))
    if (const ino_t network = network_of(process)) networks.emplace(network, process);
  return networks;
}

Result<image::NetworkNamespaces> find_networks(CaptureContext& context,
                                               const std::vector<FrozenProcess>& processes,
                                               bool container) {
  Search search(context, processes.front().network_namespace);
  for (const FrozenProcess& process : processes)
    if (container && !process.zombie) TRY(search.add_home(process));
  for (OpenFile& file : context.files()) {
    if (container && leads_to_network(file)) TRY(search.place_descriptor(file));
    if (!file.socket) continue;
    if (container)
      TRY(search.place_socket(file));
    else
      file.network = TRY(context.networks().of_socket(file.fd));
  }
  return std::move(search).found();
}

Result<void> describe_networks(CaptureContext& context, const std::vector<FrozenProcess>& processes,
                               NetworkSurvey* of_root, std::optional<NetworkSettings>& fresh,
                               const UserNamespaces& user_namespaces, const image::Tree& tree,
                               image::NetworkNamespaces& out) {
  std::vector<uint32_t> described(context.networks().count());
  std::iota(described.begin(), described.end(), 0);
  if (of_root == nullptr) described.erase(described.begin());
  if (of_root != nullptr)
    TRY(context.judge_in("network", [&]() -> Result<void> {
      *out.mutable_of_root() = TRY(of_root->describe(context, described));
      return {};
    }));
  if (!out.namespaces().empty() && !fresh) fresh = TRY(read_fresh_settings());
  for (uint32_t number = 1; number < context.networks().count(); ++number) {
    image::NetworkNamespace& image = *out.mutable_namespaces(static_cast<int>(number - 1));
    TRY(context.judge_in(name_of(image), [&]() -> Result<void> {
      const Fd name_space = TRY(context.networks().open(number));
      image.set_user_namespace(TRY(owner_of(name_space, image, processes, user_namespaces, tree)));
      NetworkSurvey survey = TRY(NetworkSurvey::of_other(context.networks(), number, *fresh));
      *image.mutable_network() = TRY(survey.describe(context, described));
      return {};
    }));
  }
  return {};
}

Result<NetworkNamespaces> NetworkNamespaces::make(ApplyContext& context,
                                                  const UserNamespacesRestore& users,
                                                  const image::NetworkNamespaces& image) {
  NetworkNamespaces made;
  WantedNetworks wanted = {image.has_of_root() ? &image.of_root() : nullptr};
  for (const image::NetworkNamespace& each : image.namespaces()) {
    Fd name_space = TRY(make_one(users, each.user_namespace()));
    const uint32_t number = context.networks().add(std::move(name_space));
    for (int32_t process : each.processes())
      made.of_process_[process] = {number, each.user_namespace()};
    wanted.push_back(&each.network());
  }
  TRY_IN(apply_networks(context.networks(), wanted), "network");
  return made;
}

Result<void> NetworkNamespaces::enter(const ApplyContext& context, Task& leader,
                                      uint32_t user_namespace, DescriptorChannel& channel) const {
  const auto found = of_process_.find(leader.process().value);
  if (found == of_process_.end() || found->second.user_namespace != user_namespace) return {};
  return join_namespace(leader, TRY(context.networks().open(found->second.network)), CLONE_NEWNET,
                        "enter a network namespace", channel);
}

}  // namespace martlet::engine
