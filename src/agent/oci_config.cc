#include "agent/oci_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

namespace martlet::agent {
namespace {

using Json = nlohmann::ordered_json;

// What a server that starts as root needs to bind low ports and to drop its rights; Docker's
// choice.
constexpr const char* kDefaultCapabilities[] = {
    "CAP_CHOWN",   "CAP_DAC_OVERRIDE", "CAP_FSETID",           "CAP_FOWNER",
    "CAP_MKNOD",   "CAP_NET_RAW",      "CAP_SETGID",           "CAP_SETUID",
    "CAP_SETFCAP", "CAP_SETPCAP",      "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT",
    "CAP_KILL",    "CAP_AUDIT_WRITE"};

constexpr const char* kDefaultPath =
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

constexpr uint64_t kCpuPeriod = 100'000;  // microseconds

Json mount(const char* destination, const char* type, std::vector<std::string> options) {
  return {{"destination", destination}, {"type", type}, {"source", type}, {"options", options}};
}

Json default_mounts() {
  return Json::array(
      {mount("/proc", "proc", {"nosuid", "noexec", "nodev"}),
       mount("/dev", "tmpfs", {"nosuid", "strictatime", "mode=755", "size=65536k"}),
       mount("/dev/pts", "devpts",
             {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}),
       mount("/dev/shm", "tmpfs", {"nosuid", "noexec", "nodev", "mode=1777"}),
       mount("/dev/mqueue", "mqueue", {"nosuid", "noexec", "nodev"}),
       mount("/sys", "sysfs", {"nosuid", "noexec", "nodev", "ro"})});
}

Json default_config() {
  Json config;
  config["ociVersion"] = "1.0.2";
  config["process"]["user"] = {{"uid", 0}, {"gid", 0}};
  config["process"]["env"] = Json::array({kDefaultPath, "TERM=dumb"});
  config["process"]["cwd"] = "/";
  config["process"]["noNewPrivileges"] = false;
  config["root"]["readonly"] = false;
  config["mounts"] = default_mounts();
  config["linux"]["maskedPaths"] = {"/proc/acpi",          "/proc/kcore",      "/proc/keys",
                                    "/proc/latency_stats", "/proc/timer_list", "/proc/sched_debug",
                                    "/proc/scsi",          "/sys/firmware"};
  config["linux"]["readonlyPaths"] = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys",
                                      "/proc/sysrq-trigger"};
  config["linux"]["resources"]["devices"] = Json::array({{{"allow", false}, {"access", "rwm"}}});
  return config;
}

Result<Json> base_config(const Declaration& declaration) {
  if (!declaration.has_bundle()) return default_config();
  Json config = Json::parse(declaration.bundle().config(), nullptr, /*allow_exceptions=*/false);
  if (!config.is_object() || !config["root"].is_object() || !config["process"].is_object())
    return fail(Code::kInvalidArgument, fmt::format("{}/config.json is not an OCI configuration",
                                                    declaration.bundle().path()));
  return config;
}

Json capability_sets(const std::vector<std::string>& wanted,
                     const std::vector<std::string>& available) {
  std::vector<std::string> given;
  std::ranges::copy_if(wanted, std::back_inserter(given), [&](const std::string& capability) {
    return std::ranges::find(available, capability) != available.end();
  });
  return {{"bounding", given}, {"effective", given}, {"permitted", given}};
}

// A later value of a variable replaces an earlier one in its place.
void add_environment(Json& env, const Declaration& declaration) {
  for (const std::string& addition : declaration.env()) {
    const std::string key = addition.substr(0, addition.find('=') + 1);
    const auto same = std::ranges::find_if(env, [&](const Json& entry) {
      return entry.is_string() && entry.get<std::string>().starts_with(key);
    });
    if (same != env.end())
      *same = addition;
    else
      env.push_back(addition);
  }
}

void set_declared_process(Json& process, const Declaration& declaration,
                          const OciEnvironment& environment) {
  if (!declaration.args().empty())
    process["args"] =
        std::vector<std::string>(declaration.args().begin(), declaration.args().end());
  if (!declaration.working_directory().empty()) process["cwd"] = declaration.working_directory();
  if (!process["env"].is_array()) process["env"] = Json::array({kDefaultPath});
  add_environment(process["env"], declaration);
  if (!process.contains("capabilities"))
    process["capabilities"] =
        capability_sets({std::begin(kDefaultCapabilities), std::end(kDefaultCapabilities)},
                        environment.agent_capabilities);
}

Json stub_process(const OciEnvironment& environment) {
  Json process;
  process["user"] = {{"uid", 0}, {"gid", 0}};
  process["args"] = {fmt::format("/proc/self/fd/{}", kStubProgram)};
  process["env"] = Json::array({kDefaultPath});
  process["cwd"] = "/";
  process["noNewPrivileges"] = false;
  process["capabilities"] =
      capability_sets(environment.agent_capabilities, environment.agent_capabilities);
  process["capabilities"]["inheritable"] = environment.agent_capabilities;
  return process;
}

void set_limits(Json& resources, const Declaration& declaration) {
  if (declaration.memory_bytes() > 0) resources["memory"]["limit"] = declaration.memory_bytes();
  if (declaration.cpus() > 0) {
    resources["cpu"]["period"] = kCpuPeriod;
    resources["cpu"]["quota"] = static_cast<int64_t>(declaration.cpus() * kCpuPeriod);
  }
}

void add_volumes(Json& mounts, const Declaration& declaration) {
  for (const Volume& volume : declaration.volumes()) {
    Json entry = mount(volume.destination().c_str(), "bind", {"rbind", "rprivate"});
    entry["source"] = volume.source();
    entry["options"].push_back(volume.read_only() ? "ro" : "rw");
    mounts.push_back(std::move(entry));
  }
}

bool names(const Json& list, std::string_view name) {
  return list.is_array() && std::ranges::find(list, Json(name)) != list.end();
}

bool gives_capability(const Json& config, std::string_view name) {
  const Json sets = config["process"].value("capabilities", Json::object());
  return sets.is_object() &&
         std::ranges::any_of(sets, [&](const Json& set) { return names(set, name); });
}

}  // namespace

NetworkRights network_rights(const Declaration& declaration) {
  const auto config = base_config(declaration);
  if (!config) return {};
  const Json sandbox = config->value("linux", Json::object());
  const bool keeps_settings =
      sandbox.is_object() && names(sandbox.value("readonlyPaths", Json::array()), "/proc/sys");
  return {.configuration = gives_capability(*config, "CAP_NET_ADMIN"),
          .settings = !keeps_settings || gives_capability(*config, "CAP_SYS_ADMIN")};
}

Result<std::string> make_oci_config(const Container& container, const OciEnvironment& environment,
                                    FirstProcess first) {
  const Declaration& declaration = container.record.declaration();
  Json config = TRY(base_config(declaration));
  if (first == FirstProcess::kStub) {
    config["process"] = stub_process(environment);
    // The restored processes bring their filters along. A bundle may have no such section.
    if (config.contains("linux")) config["linux"].erase("seccomp");
  } else {
    set_declared_process(config["process"], declaration, environment);
  }
  config["process"]["terminal"] = false;
  config["root"]["path"] = container.paths.root;
  config["hostname"] = declaration.name();
  config.erase("hooks");  // they would run on one host only

  Json& sandbox = config["linux"];
  sandbox["cgroupsPath"] = environment.cgroup;
  sandbox["namespaces"] = Json::array();
  for (const char* type : {"pid", "mount", "network", "ipc", "uts", "cgroup"})
    sandbox["namespaces"].push_back({{"type", type}});
  set_limits(sandbox["resources"], declaration);
  add_volumes(config["mounts"], declaration);
  if (declaration.has_overlay()) sandbox["maskedPaths"].push_back(environment.private_directory);
  return config.dump(2);
}

}  // namespace martlet::agent
