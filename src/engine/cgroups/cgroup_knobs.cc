#include "engine/cgroups/cgroup_knobs.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <sstream>

#include "base/fd.h"

namespace martlet::engine {
namespace {

constexpr std::string_view kOomControl = "memory.oom_control";

// Lists of tasks, what Cgroup has fields for, numbers that a write resets, what is done at once,
// and what names the devices of whoever reads it.
constexpr std::array<std::string_view, 10> kNoKnobs = {
    "cgroup.kill",   "net_prio.ifpriomap",    "cgroup.procs",  "cgroup.threads",
    "tasks",         "cgroup.type",           "cgroup.freeze", "freezer.state",
    "cpuacct.usage", "cgroup.subtree_control"};
constexpr std::array<std::string_view, 3> kStatistics = {".failcnt", "usage_in_bytes", ".peak"};

bool is_pressure(std::string_view file) {
  return file.ends_with(".pressure") && file != "cgroup.pressure";
}

bool is_of_device(const std::string& line) {
  unsigned major = 0, minor = 0;
  return std::sscanf(line.c_str(), "%u:%u ", &major, &minor) == 2;
}

// memory.oom_control tells "oom_kill_disable 1" among other things, and takes "1".
std::string setting_in(const std::string& file, std::string text) {
  if (file == kOomControl) text = text.substr(0, text.find('\n')).substr(text.find(' ') + 1);
  while (text.ends_with('\n')) text.pop_back();
  return text;
}

// That nothing is limited says a kernel without the file, too.
bool is_no_limit(const std::string& value) {
  return value.empty() || value == "0" || value == "max";
}

}  // namespace

bool is_knob(std::string_view file, mode_t mode) {
  if (!S_ISREG(mode) || (mode & (S_IRUSR | S_IWUSR)) != (S_IRUSR | S_IWUSR)) return false;
  auto ends = [&](std::string_view end) { return file.ends_with(end); };
  return std::ranges::find(kNoKnobs, file) == kNoKnobs.end() && !is_pressure(file) &&
         std::ranges::none_of(kStatistics, ends);
}

std::optional<std::string> read_knob(const std::string& directory, const std::string& file) {
  auto text = read_file(directory + "/" + file);
  if (!text) return std::nullopt;
  return setting_in(file, std::move(*text));
}

bool is_set_for_a_device(const std::string& value) {
  std::istringstream lines(value);
  for (std::string line; std::getline(lines, line);)
    if (is_of_device(line)) return true;
  return false;
}

Result<void> write_knob(const std::string& directory, const image::CgroupKnob& knob) {
  const std::string path = directory + "/" + knob.file();
  if (is_no_limit(knob.value()) && ::access(path.c_str(), F_OK) != 0) return {};
  if (read_knob(directory, knob.file()) == knob.value()) return {};
  if (knob.value().empty()) return write_file(path, "\n");
  std::istringstream lines(knob.value());
  for (std::string line; std::getline(lines, line);) TRY(write_file(path, line));
  return {};
}

}  // namespace martlet::engine
