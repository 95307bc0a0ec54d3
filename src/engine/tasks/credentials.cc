#include "engine/tasks/credentials.h"

#include <fmt/format.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sys/prctl.h>

#include <algorithm>

namespace martlet::engine {
namespace {

constexpr int kCapabilities = 64;
constexpr uint32_t kAsItIs = ~0u;  // in place of an id

bool has(uint64_t set, int capability) {
  return (set & (1ull << capability)) != 0;
}

uint32_t as_seen(const IdMap* map, uint32_t id) {
  return map == nullptr ? id : map->inside(id).value_or(kAsItIs);
}

// A namespace may forbid the call, to those too who would change nothing.
Result<void> call_setgroups(Program& program, const Task& task, const image::Credentials& wanted,
                            const IdMap* map) {
  std::vector<uint32_t> groups;
  for (uint32_t group : wanted.groups()) groups.push_back(as_seen(map, group));
  if (map != nullptr) {
    auto status = TRY(sys::read_status(task.host_pid()));
    if (std::ranges::equal(status.groups, wanted.groups())) return {};
  }
  program.call("set groups", SYS_setgroups,
               {groups.size(), program.put(std::as_bytes(std::span(groups)))});
  return {};
}

// Changing users must not touch the capabilities, which follow by themselves.
Result<void> call_users(Program& program, const Task& task, const image::Credentials& wanted,
                        const UserView* view) {
  if (wanted.uids_size() != 4 || wanted.gids_size() != 4)
    return fail(Code::kBadImage, "credentials");
  const IdMap* users = view == nullptr ? nullptr : &view->users;
  const IdMap* groups = view == nullptr ? nullptr : &view->groups;
  auto uid = [&](int i) { return as_seen(users, wanted.uids(i)); };
  auto gid = [&](int i) { return as_seen(groups, wanted.gids(i)); };
  TRY(call_setgroups(program, task, wanted, groups));
  program.call("set secure bits", SYS_prctl,
               {PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP | SECBIT_KEEP_CAPS, 0, 0, 0});
  program.call("set group ids", SYS_setresgid, {gid(0), gid(1), gid(2)});
  program.call("set user ids", SYS_setresuid, {uid(0), uid(1), uid(2)});
  program.call("set file system gid", SYS_setfsgid, {gid(3)});
  program.call("set file system uid", SYS_setfsuid, {uid(3)});
  return {};
}

void call_capset(Program& program, const image::Credentials& wanted) {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  struct {
    __user_cap_data_struct low, high;
  } data;
  auto low = [](uint64_t set) { return static_cast<uint32_t>(set); };
  auto high = [](uint64_t set) { return static_cast<uint32_t>(set >> 32); };
  data.low = {low(wanted.effective()), low(wanted.permitted()), low(wanted.inheritable())};
  data.high = {high(wanted.effective()), high(wanted.permitted()), high(wanted.inheritable())};
  program.call("set capabilities", SYS_capset,
               {program.put_value(header), program.put_value(data)});
}

Result<void> verify(const Task& task, const image::Credentials& wanted) {
  auto status = TRY(sys::read_status(task.host_pid()));
  bool same = std::ranges::equal(status.uids, wanted.uids()) &&
              std::ranges::equal(status.gids, wanted.gids()) &&
              std::ranges::equal(status.groups, wanted.groups()) &&
              status.cap_effective == wanted.effective() &&
              status.cap_permitted == wanted.permitted() &&
              status.cap_inheritable == wanted.inheritable() &&
              status.cap_bounding == wanted.bounding() && status.cap_ambient == wanted.ambient() &&
              status.no_new_privileges == wanted.no_new_privileges();
  if (same) return {};
  return std::unexpected(
      Error(Code::kPermission,
            fmt::format("process {}: the credentials cannot be set here (bounding {:x}, permitted "
                        "{:x} instead of {:x}, {:x})",
                        task.process().value, status.cap_bounding, status.cap_permitted,
                        wanted.bounding(), wanted.permitted()))
          .with_remedy("restore with at least the capabilities the process had"));
}

}  // namespace

void put_credentials(const sys::TaskStatus& status, image::Credentials& out) {
  out.mutable_uids()->Assign(status.uids.begin(), status.uids.end());
  out.mutable_gids()->Assign(status.gids.begin(), status.gids.end());
  out.mutable_groups()->Assign(status.groups.begin(), status.groups.end());
  out.set_inheritable(status.cap_inheritable);
  out.set_permitted(status.cap_permitted);
  out.set_effective(status.cap_effective);
  out.set_bounding(status.cap_bounding);
  out.set_ambient(status.cap_ambient);
  out.set_no_new_privileges(status.no_new_privileges);
}

Answer ask_credentials(Program& program, const sys::TaskStatus& status, image::Credentials& out) {
  put_credentials(status, out);
  auto bits = program.call("read secure bits", SYS_prctl, {PR_GET_SECUREBITS, 0, 0, 0, 0});
  return [bits, &out](const Program& ran) -> Result<void> {
    out.set_securebits(static_cast<uint32_t>(ran.result(bits)));
    return {};
  };
}

Result<void> take_users(Task& task, const image::Credentials& credentials) {
  Program program(task.arena());
  TRY(call_users(program, task, credentials, nullptr));
  return task.run(program);
}

Result<void> apply_credentials(Task& task, const image::Credentials& wanted, const UserView* view) {
  Program program(task.arena());
  TRY(call_users(program, task, wanted, view));
  for (int capability = 0; capability < kCapabilities; ++capability)
    if (!has(wanted.bounding(), capability))
      program.call("drop from bounding set", SYS_prctl, {PR_CAPBSET_DROP, capability, 0, 0, 0},
                   Program::OnError::kGoOn);
  program.call("set secure bits", SYS_prctl, {PR_SET_SECUREBITS, wanted.securebits(), 0, 0, 0});
  call_capset(program, wanted);
  for (int capability = 0; capability < kCapabilities; ++capability)
    if (has(wanted.ambient(), capability))
      program.call("raise ambient capability", SYS_prctl,
                   {PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0});
  if (wanted.no_new_privileges())
    program.call("set no_new_privs", SYS_prctl, {PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0});
  TRY(task.run(program));
  return verify(task, wanted);
}

}  // namespace martlet::engine
