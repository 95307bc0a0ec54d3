#include "engine/tasks/process_state.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/membarrier.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include <charconv>

#include "base/fd.h"
#include "engine/files/unlinked_file.h"
#include "engine/ipc/sysv_undo.h"
#include "engine/memory/layout.h"
#include "engine/tasks/credentials.h"
#include "engine/tasks/injection.h"
#include "engine/tasks/limits.h"
#include "engine/tasks/signals.h"
#include "engine/tasks/thread_state.h"
#include "engine/timers/process_timers.h"
#include "engine/timers/thread_timers.h"
#include "sys/target_memory.h"

namespace martlet::engine {
namespace {

constexpr uint32_t kMembarrierRegistrations = MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED |
                                              MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED |
                                              MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE |
                                              MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ;

Result<image::FileIdentity> identify_link(const CaptureContext& context, HostPid pid,
                                          const std::string& name) {
  std::string link = sys::proc_path(pid, name);
  std::string path = TRY(sys::read_link(link));
  struct stat status{};
  if (::stat(link.c_str(), &status) != 0) return fail_errno("stat " + link);
  return in_context(identify(context, link, path, status), name + " " + path);
}

Result<void> capture_paths(const CaptureContext& context, HostPid pid, image::Process& out,
                           image::AddressSpace& space) {
  if (out.removed_working_directory() == 0)
    *out.mutable_working_directory() = TRY(identify_link(context, pid, "cwd"));
  *out.mutable_root_directory() = TRY(identify_link(context, pid, "root"));
  *space.mutable_executable() = TRY(identify_link(context, pid, "exe"));
  return {};
}

Result<void> capture_directories(const CaptureContext& context, const FrozenThread& thread,
                                 image::Directories& out) {
  HostPid tid = thread.tracee.tid();
  if (out.removed_working() == 0) *out.mutable_working() = TRY(identify_link(context, tid, "cwd"));
  *out.mutable_root() = TRY(identify_link(context, tid, "root"));
  out.set_umask(thread.status.umask);
  return {};
}

// A working directory that was removed: its File record; 0 if it was not. On an overlay a removed
// directory may have a link count of 1.
Result<uint32_t> find_removed_directory(CaptureContext& context, HostPid tid) {
  std::string link = sys::proc_path(tid, "cwd");
  std::string path = TRY(sys::read_link(link));
  struct stat status{};
  if (::stat(link.c_str(), &status) != 0) return fail_errno("stat " + link);
  if (!path.ends_with(sys::kDeletedMark) || identify(context, link, path, status)) return 0;
  return add_unlinked(context, tid, link, path, O_PATH | O_DIRECTORY);
}

Result<void> capture_numbers(const FrozenProcess& frozen, image::Process& out) {
  std::string personality = TRY(read_file(sys::proc_path(frozen.living, "personality")));
  out.set_personality(std::strtoul(personality.c_str(), nullptr, 16));
  std::string score = TRY(read_file(sys::proc_path(frozen.living, "oom_score_adj")));
  out.set_oom_score_adj(std::atoi(score.c_str()));
  // Not there in a kernel without core dumps.
  if (auto filter = read_file(sys::proc_path(frozen.living, "coredump_filter")); filter)
    out.set_coredump_filter(static_cast<uint32_t>(std::strtoul(filter->c_str(), nullptr, 16)));
  out.set_umask(frozen.status.umask);
  out.set_exit_signal(frozen.stat.exit_signal);
  return capture_limits(frozen.living, out);
}

Result<void> capture_fields(const FrozenProcess& frozen, image::AddressSpace& space) {
  const sys::TaskStat& stat = frozen.stat;
  auto* map = space.mutable_map();
  map->set_start_code(stat.start_code);
  map->set_end_code(stat.end_code);
  map->set_start_data(stat.start_data);
  map->set_end_data(stat.end_data);
  map->set_start_brk(stat.start_brk);
  map->set_start_stack(stat.start_stack);
  map->set_arg_start(stat.arg_start);
  map->set_arg_end(stat.arg_end);
  map->set_env_start(stat.env_start);
  map->set_env_end(stat.env_end);
  map->set_auxv(TRY(read_file(sys::proc_path(frozen.living, "auxv"))));
  space.set_vdso(TRY(read_vdso(TRY(sys::ForcedMemory::open(frozen.living)), frozen.vmas)));
  space.set_thp_disabled(!frozen.status.thp_enabled);
  return {};
}

// A kernel that cannot tell (before Linux 6.3) gets all of them: one too many costs the process a
// little time, one too few makes its barriers fail.
Answer ask_membarrier(Program& program, image::Process& out) {
  constexpr int kGetRegistrations = 1 << 9;  // MEMBARRIER_CMD_GET_REGISTRATIONS
  auto registered = program.call("read membarrier registrations", SYS_membarrier,
                                 {kGetRegistrations, 0, 0}, Program::OnError::kGoOn);
  return [=, &out](const Program& ran) -> Result<void> {
    long result = ran.result(registered);
    out.set_membarrier_registrations(result >= 0 ? static_cast<uint32_t>(result)
                                                 : kMembarrierRegistrations);
    return {};
  };
}

std::vector<Answer> ask_process(Program& program, image::Process& out, image::AddressSpace& space) {
  std::vector<Answer> answers;
  answers.push_back(ask_signal_actions(program, out));
  answers.push_back(ask_interval_timers(program, out));
  answers.push_back(ask_membarrier(program, out));
  auto brk = program.call("read brk", SYS_brk, {0});
  auto dumpable = program.call("read dumpable", SYS_prctl, {PR_GET_DUMPABLE, 0, 0, 0, 0});
  TargetAddr subreaper = program.reserve(sizeof(int32_t));
  program.call("read child subreaper", SYS_prctl, {PR_GET_CHILD_SUBREAPER, subreaper, 0, 0, 0});
  answers.push_back([=, &out, &space](const Program& ran) -> Result<void> {
    space.mutable_map()->set_brk(static_cast<uint64_t>(ran.result(brk)));
    space.set_dumpable(static_cast<uint32_t>(ran.result(dumpable)));
    out.set_child_subreaper(ran.output_value<int32_t>(subreaper) != 0);
    return {};
  });
  return answers;
}

Result<void> collect(const std::vector<Answer>& answers, const Program& ran) {
  for (const Answer& answer : answers) TRY(answer(ran));
  return {};
}

// Its secure bits and its scheduling are seen by nobody any more.
void capture_ended_leader(const EndedLeader& leader, image::Process& out) {
  image::EndedLeader& saved = *out.mutable_ended_leader();
  saved.set_name(leader.status.name);
  put_credentials(leader.status, *saved.mutable_credentials());
  saved.set_exit_code(leader.exit_code);
}

Result<void> question_tasks(FrozenProcess& frozen, FrozenProcess& holder, image::Process& out,
                            image::AddressSpace& space) {
  Injection injection = TRY(Injection::begin(frozen, holder));
  Program program(injection.arena());
  auto answers = ask_process(program, out, space);
  answers.push_back(TRY(ask_posix_timers(program, frozen, out)));
  TRY(injection.run(frozen.leader(), program));
  TRY(collect(answers, program));
  for (size_t i = 0; i < frozen.threads.size(); ++i) {
    Program thread_program(injection.arena());
    auto thread_answers =
        ask_thread(thread_program, frozen.threads[i], *out.mutable_threads(static_cast<int>(i)));
    TRY(injection.run(frozen.threads[i], thread_program));
    TRY(collect(thread_answers, thread_program));
  }
  TRY(find_threads_of_timers(injection, frozen, out));
  if (TRY(may_undo_semaphores(frozen.living))) TRY(capture_semaphore_undo(injection, frozen, out));
  return injection.end();
}

}  // namespace

Result<void> note_removed_directories(CaptureContext& context, const FrozenProcess& frozen,
                                      image::Process& out) {
  out.set_removed_working_directory(TRY(find_removed_directory(context, frozen.living)));
  for (size_t i = 1; i < frozen.threads.size(); ++i)
    if (frozen.threads[i].own_directories)
      out.mutable_threads(static_cast<int>(i))
          ->mutable_own_directories()
          ->set_removed_working(
              TRY(find_removed_directory(context, frozen.threads[i].tracee.tid())));
  return {};
}

Result<void> capture_process(CaptureContext& context, FrozenProcess& frozen, FrozenProcess& holder,
                             image::Process& out, image::AddressSpace& space) {
  space.set_process(static_cast<uint32_t>(frozen.ns_pid.value));
  TRY(context.judge(capture_paths(context, frozen.living, out, space)));
  TRY(capture_numbers(frozen, out));
  TRY(capture_fields(frozen, space));
  for (size_t i = 0; i < frozen.threads.size(); ++i) {
    image::Thread& thread = *out.mutable_threads(static_cast<int>(i));
    TRY(context.judge(capture_thread(frozen.threads[i], thread)));
    if (frozen.threads[i].own_directories)
      TRY(context.judge(
          capture_directories(context, frozen.threads[i], *thread.mutable_own_directories())));
  }
  if (frozen.ended_leader) capture_ended_leader(*frozen.ended_leader, out);
  TRY(context.judge(capture_pending(frozen, out)));
  out.set_stopped(frozen.leader().group_stopped);
  return context.judge(question_tasks(frozen, holder, out, space));
}

void register_membarriers(Program& program, const image::Process& process) {
  for (uint32_t command = 1; command <= kMembarrierRegistrations; command <<= 1)
    if ((process.membarrier_registrations() & kMembarrierRegistrations & command) != 0)
      program.call("register membarrier", SYS_membarrier, {command, 0, 0}, Program::OnError::kGoOn);
}

}  // namespace martlet::engine
