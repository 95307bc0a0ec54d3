#include "agent/container_checkpoint.h"

#include <google/protobuf/util/json_util.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <tuple>

#include "agent/checkpoint_messages.h"
#include "agent/container_network.h"
#include "image/group.pb.h"
#include "migrate/overlay_notes.h"
#include "migrate/rsync_errors.h"
#include "sys/program.h"
#include "sys/time_namespace.h"

namespace martlet::agent {
namespace {

constexpr Nanoseconds kCopyTimeout = std::chrono::hours(1);

std::string declaration_path(const std::string& directory) {
  return directory + "/container.json";
}

// Copies a directory's content or a file with everything that belongs to it: owners, times, hard
// links, holes, extended attributes (an overlay's marks among them), devices.
Result<void> copy_files(const std::string& from, const std::string& to) {
  sys::Program rsync;
  rsync.args = {"rsync",    "--archive", "--hard-links",  "--acls",
                "--xattrs", "--sparse",  "--numeric-ids", "--delete"};
  std::ranges::move(migrate::rsync_without_overlay_notes(), std::back_inserter(rsync.args));
  rsync.args.insert(rsync.args.end(), {from, to});
  Fd errors = TRY(migrate::make_rsync_error_file());
  rsync.descriptors = {{errors.get(), STDERR_FILENO}};
  int code = TRY(sys::run_program(rsync, kCopyTimeout));
  if (code == 0) return {};
  return in_context(Result<void>(migrate::rsync_failed(code, errors)),
                    "copy " + from + " to " + to);
}

Result<void> save_files(const Container& container, const std::string& directory) {
  std::string text;
  auto status = google::protobuf::util::MessageToJsonString(container.record.declaration(), &text);
  if (!status.ok()) return fail(Code::kSystem, "cannot write the declaration");
  TRY(replace_file(declaration_path(directory), text, 0600));
  TRY(copy_files(container.paths.upper + "/", directory + "/upper"));
  return copy_files(container.paths.log, directory + "/log");
}

Result<Declaration> read_declaration(const std::string& directory) {
  std::string text = TRY(read_file(declaration_path(directory)));
  Declaration declaration;
  if (!google::protobuf::util::JsonStringToMessage(text, &declaration).ok())
    return fail(Code::kBadImage, declaration_path(directory) + " is damaged");
  return declaration;
}

// The container's clocks go on from where they stood.
Result<sys::ClockOffsets> clocks_of_image(const std::string& directory) {
  auto header = TRY(checkpoint::read_header(directory));
  if (!header.container()) return fail(Code::kInvalidArgument, directory + " holds no container");
  return sys::offsets_to_show(
      {Nanoseconds(header.monotonic_ns()), Nanoseconds(header.boottime_ns())});
}

Result<checkpoint::RestoreStats> restore_into(ContainerManager& manager, const Operation& operation,
                                              const std::string& directory) {
  Container reserved = TRY(manager.find(operation.name()));
  TRY(copy_files(directory + "/upper/", reserved.paths.upper));
  TRY(copy_files(directory + "/log", reserved.paths.log));
  auto clocks = TRY(clocks_of_image(directory));
  Fd control = TRY(manager.build_sandbox(operation, clocks, checkpoint::stub_program()));
  Container sandbox = TRY(manager.find(operation.name()));
  auto spec = group_of(sandbox);
  auto group = TRY(checkpoint::build_from_directory(
      directory, {sandbox.init(), std::move(control), std::move(spec.external_files)}));
  TRY(manager.announce(operation));
  TRY(group.resume());
  TRY(manager.adopt(operation));
  return group.stats();
}

Result<Container> find_running(ContainerManager& manager, const std::string& name) {
  Container container = TRY(manager.find(name));
  if (container.record.state() == STATE_RUNNING) return container;
  return fail(Code::kInvalidArgument, "container " + name + " does not run");
}

}  // namespace

checkpoint::GroupSpec group_of(const Container& container) {
  checkpoint::GroupSpec spec;
  spec.root = container.init();
  spec.container = true;
  spec.freezer_cgroup = container.freezer_cgroup;
  spec.external_files = {{"log", container.paths.log}};
  spec.outside_peers = to_engine(container.record.declaration().external_unix());
  // An agent that did not note them has made the container before an update.
  spec.first_mounts = read_file(container.paths.first_mounts).value_or("");
  spec.network = changeable_network(container);
  return spec;
}

Result<checkpoint::CheckpointReport> checkpoint_container(
    ContainerManager& manager, const std::string& name, const std::string& directory,
    const checkpoint::CheckpointOptions& options) {
  auto link = [&] { return "container " + name; };
  auto operation = TRY(manager.begin(name, "checkpoint"));
  Container container = TRY(find_running(manager, name));
  TRY_IN(manager.hold_network(operation), link());
  auto report = checkpoint::checkpoint_to_directory(
      group_of(container), directory, options, [&] { return save_files(container, directory); });
  bool goes_on = !report || options.afterwards == checkpoint::Afterwards::kLeaveRunning;
  if (goes_on) {
    auto released = manager.release_network(operation);
    if (report && !released) return std::unexpected(released.error());
  }
  return in_context(std::move(report), link());
}

Result<checkpoint::GroupCheck> check_container(ContainerManager& manager, const std::string& name) {
  auto operation = TRY(manager.begin(name, "check"));
  Container container = TRY(find_running(manager, name));
  TRY_IN(manager.hold_network(operation), "container " + name);
  auto check = checkpoint::check_group(group_of(container));
  auto released = manager.release_network(operation);
  if (check && !released) return std::unexpected(released.error());
  return in_context(std::move(check), "container " + name);
}

Result<RestoredContainer> restore_container(ContainerManager& manager, const std::string& directory,
                                            const std::string& new_name) {
  Declaration declaration = TRY(read_declaration(directory));
  if (!new_name.empty()) declaration.set_name(new_name);
  auto operation = TRY(manager.reserve(declaration, 1, "restore"));
  auto stats =
      in_context(restore_into(manager, operation, directory), "container " + declaration.name());
  if (!stats) {
    std::ignore = manager.destroy(operation);
    return std::unexpected(stats.error());
  }
  return RestoredContainer{TRY(manager.find(declaration.name())), *stats};
}

}  // namespace martlet::agent
