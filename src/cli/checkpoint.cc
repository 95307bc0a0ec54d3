// Commands that write the state of a container or a process tree into a directory and bring it
// back. With --pid they work in this process and need no agent.
#include <fmt/format.h>
#include <unistd.h>

#include <limits>
#include <optional>

#include "agent/checkpoint_messages.h"
#include "agent/migration_options.h"
#include "base/fd.h"
#include "checkpoint/directory.h"
#include "cli/command.h"
#include "cli/migration_options.h"
#include "cli/output.h"
#include "sys/descriptor_limit.h"

namespace martlet::cli {
namespace {

struct CheckpointOptions {
  std::string name;
  int pid = 0;
  std::string directory;
  bool leave_running = false;
  agent::Compression compression = agent::COMPRESSION_NONE;
  uint32_t rounds = 0;
  std::optional<agent::OutsidePeers> external_unix;
};

struct RestoreOptions {
  std::string directory;
  std::string name;
  std::string pid_file;
};

Result<agent::CheckpointReply> take_checkpoint(const Session& session,
                                               const CheckpointOptions& options) {
  std::string directory = std::filesystem::absolute(options.directory);
  if (options.name.empty()) {
    sys::raise_descriptor_limit(HostPid(::getpid()));
    checkpoint::GroupSpec spec;
    spec.root = HostPid(options.pid);
    if (options.external_unix) spec.outside_peers = agent::to_engine(*options.external_unix);
    const checkpoint::CheckpointOptions how{
        .afterwards = options.leave_running ? checkpoint::Afterwards::kLeaveRunning
                                            : checkpoint::Afterwards::kKill,
        .compression = TRY(agent::to_codec(options.compression)),
        .rounds = options.rounds};
    return agent::to_message(TRY_IN(checkpoint::checkpoint_to_directory(spec, directory, how),
                                    fmt::format("process {}", options.pid)));
  }
  agent::CheckpointRequest request;
  request.set_name(options.name);
  request.set_directory(directory);
  request.set_leave_running(options.leave_running);
  request.set_compression(options.compression);
  request.set_rounds(options.rounds);
  return session.client().checkpoint(request);
}

Result<int> run_checkpoint(const Session& session, const CheckpointOptions& options) {
  if (options.name.empty() == (options.pid == 0))
    return fail(Code::kInvalidArgument, "give either the name of a container or --pid");
  TRY(refuse_declared(options.name, options.external_unix));
  auto reply = TRY(take_checkpoint(session, options));
  if (session.json) {
    print_json({{"directory", options.directory},
                {"processes", reply.processes()},
                {"threads", reply.threads()},
                {"memory_bytes", reply.memory_bytes()},
                {"image_bytes", reply.image_bytes()},
                {"freeze_seconds", reply.freeze_seconds()},
                {"capture_seconds", reply.capture_seconds()},
                {"frozen_seconds", reply.frozen_seconds()}});
    return 0;
  }
  fmt::print("{}: {} processes, {} threads, {} of memory; frozen for {}\n", options.directory,
             reply.processes(), reply.threads(),
             human_bytes(static_cast<double>(reply.memory_bytes())),
             human_seconds(reply.frozen_seconds()));
  return 0;
}

Result<int> restore_tree(const Session& session, const RestoreOptions& options) {
  auto write_pid_file = [&](HostPid root) -> Result<void> {
    if (options.pid_file.empty()) return {};
    return replace_file(options.pid_file, to_string(root) + "\n", 0644);
  };
  sys::raise_descriptor_limit(HostPid(::getpid()));
  auto report = TRY_IN(checkpoint::restore_from_directory(options.directory, write_pid_file),
                       options.directory);
  if (session.json)
    print_json({{"pid", report.root.value},
                {"processes", report.stats.processes},
                {"threads", report.stats.threads},
                {"memory_bytes", report.stats.memory_bytes},
                {"restore_seconds", report.stats.build_seconds}});
  else
    fmt::print("{}\n", report.root.value);
  return 0;
}

Result<int> restore_container(const Session& session, const RestoreOptions& options) {
  agent::RestoreRequest request;
  request.set_directory(std::filesystem::absolute(options.directory));
  request.set_name(options.name);
  auto reply = TRY(session.client().restore(request));
  const std::string& name = reply.container().record().declaration().name();
  if (session.json)
    print_json({{"name", name},
                {"pid", reply.container().record().init_pid()},
                {"processes", reply.processes()},
                {"threads", reply.threads()},
                {"memory_bytes", reply.memory_bytes()},
                {"restore_seconds", reply.restore_seconds()}});
  else
    fmt::print("{} restored: {} processes, {} threads, {} of memory in {}\n", name,
               reply.processes(), reply.threads(),
               human_bytes(static_cast<double>(reply.memory_bytes())),
               human_seconds(reply.restore_seconds()));
  return 0;
}

Result<int> run_restore(const Session& session, const RestoreOptions& options) {
  if (TRY(checkpoint::read_header(options.directory)).container())
    return restore_container(session, options);
  if (!options.name.empty())
    return fail(Code::kInvalidArgument,
                options.directory + " holds a process tree, which has no --name");
  return restore_tree(session, options);
}

}  // namespace

void add_checkpoint_commands(CLI::App& app, Session& session) {
  const auto taken = std::make_shared<CheckpointOptions>();
  CLI::App* checkpoint = add_command(
      app, session, "checkpoint", "Write the state of a container or process tree to a directory",
      "  martlet checkpoint redis --dir /var/backups/redis --leave-running\n"
      "  martlet checkpoint --pid 4711 --dir /tmp/job",
      [&session, taken] { return run_checkpoint(session, *taken); });
  checkpoint->add_option("name", taken->name, "container");
  checkpoint->add_option("--pid", taken->pid, "root of a process tree; needs no agent")
      ->check(CLI::Range(1, std::numeric_limits<pid_t>::max()));
  checkpoint->add_option("--dir", taken->directory, "directory, made if it does not exist")
      ->required();
  checkpoint
      ->add_option(
          "--rounds", taken->rounds,
          "write memory so many times while it still runs, so that it is frozen shortly [0]")
      ->check(CLI::Range(0, 100));
  checkpoint->add_flag("--leave-running", taken->leave_running,
                       "let it go on afterwards instead of ending it");
  add_external_unix(*checkpoint, [taken](auto value) { taken->external_unix = value; });
  add_compression(*checkpoint, "of the image [none]",
                  [taken](agent::Compression value) { taken->compression = value; });

  const auto wanted = std::make_shared<RestoreOptions>();
  CLI::App* restore = add_command(app, session, "restore", "Bring back what a directory holds",
                                  "  martlet restore --dir /var/backups/redis --name redis2\n"
                                  "  martlet restore --dir /tmp/job --pidfile /run/job.pid",
                                  [&session, wanted] { return run_restore(session, *wanted); });
  restore->add_option("--dir", wanted->directory, "directory of a checkpoint")->required();
  restore->add_option("--name", wanted->name, "container: another name [that of the checkpoint]");
  restore->add_option("--pidfile", wanted->pid_file,
                      "process tree: file to write the root's PID to");
}

}  // namespace martlet::cli
