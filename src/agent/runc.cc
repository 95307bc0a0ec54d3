#include "agent/runc.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>

namespace martlet::agent {
namespace {

constexpr Nanoseconds kDeadline = std::chrono::seconds(60);

// runc puts the general before the particular: only the last cause helps.
std::string without_preamble(std::string message) {
  for (const std::string_view preamble :
       {"runc create failed: ", "unable to start container process: ",
        "error during container init: "})
    if (message.starts_with(preamble)) message.erase(0, preamble.size());
  return message;
}

// The last error in runc's log, which is one JSON object a line.
std::string last_error(const std::string& log_path) {
  const auto text = read_file(log_path);
  std::string message = "no message in " + log_path;
  if (!text) return message;
  std::istringstream lines(*text);
  std::string line;
  while (std::getline(lines, line)) {
    const auto entry = nlohmann::json::parse(line, nullptr, false);
    if (entry.is_object() && entry.value("level", "") == "error") message = entry.value("msg", "");
  }
  return without_preamble(message);
}

Code code_of(const std::string& message) {
  if (message.find("executable file not found") != std::string::npos) return Code::kNotFound;
  if (message.find("no such file or directory") != std::string::npos) return Code::kNotFound;
  if (message.find("permission denied") != std::string::npos) return Code::kPermission;
  if (message.find("no space left") != std::string::npos) return Code::kNoSpace;
  return Code::kSystem;
}

Result<Fd> time_namespace_of(const Container& container) {
  return open_file(fmt::format("/proc/{}/ns/time", container.init().value), O_RDONLY);
}

}  // namespace

std::vector<std::string> Runc::command(const Container& container,
                                       std::vector<std::string> arguments) const {
  std::vector<std::string> command{
      "runc", "--root", root_, "--log", container.paths.runc_log, "--log-format", "json"};
  command.insert(command.end(), arguments.begin(), arguments.end());
  return command;
}

Result<void> Runc::run(const Container& container, sys::Program program,
                       const std::string& what) const {
  std::error_code ignored;
  std::filesystem::remove(container.paths.runc_log,
                          ignored);  // so that its last error is this call's
  const int exit_code = TRY_IN(sys::run_program(program, kDeadline), what);
  if (exit_code == 0) return {};
  const std::string message = last_error(container.paths.runc_log);
  return fail(code_of(message), fmt::format("{}: {}", what, message));
}

Result<HostPid> Runc::create(const Container& container, const InitSpec& init) const {
  sys::Program program;
  program.args = command(container, {"create", "--bundle", container.paths.bundle, "--pid-file",
                                     container.paths.pid_file, "--preserve-fds",
                                     std::to_string(init.extra.size()), container.name()});
  program.descriptors = {{init.log.get(), 1}, {init.log.get(), 2}};
  for (size_t i = 0; i < init.extra.size(); i++)
    program.descriptors.push_back({init.extra[i].get(), static_cast<int>(3 + i)});
  program.new_time_namespace = init.clocks;
  TRY(run(container, std::move(program), "runc create"));
  const std::string pid = TRY(read_file(container.paths.pid_file));
  return HostPid(std::atoi(pid.c_str()));
}

Result<void> Runc::start(const Container& container) const {
  sys::Program program;
  program.args = command(container, {"start", container.name()});
  program.time_namespace = TRY(time_namespace_of(container));
  return run(container, std::move(program), "runc start");
}

Result<void> Runc::forget(const Container& container) const {
  if (!std::filesystem::exists(root_ + "/" + container.name())) return {};
  sys::Program program;
  program.args = command(container, {"delete", "--force", container.name()});
  return run(container, std::move(program), "runc delete");
}

Result<sys::Program> Runc::exec(const Container& container, const ExecSpec& spec) const {
  sys::Program program;
  program.args = command(container, {"exec"});
  for (const std::string& variable : spec.env) {
    program.args.push_back("--env");
    program.args.push_back(variable);
  }
  if (!spec.working_directory.empty()) {
    program.args.push_back("--cwd");
    program.args.push_back(spec.working_directory);
  }
  program.args.push_back(container.name());
  program.args.insert(program.args.end(), spec.args.begin(), spec.args.end());
  program.time_namespace = TRY(time_namespace_of(container));
  return program;
}

}  // namespace martlet::agent
