#include "agent/container_load.h"

#include <fmt/format.h>

#include <random>
#include <sstream>
#include <string>
#include <string_view>

#include "base/fd.h"
#include "engine/memory/dirty_sampler.h"
#include "migrate/file_scan.h"
#include "sys/procfs.h"

namespace martlet::agent {
namespace {

// Pages that a task cannot do without in its first instructions: stack, code it has written, data.
constexpr double kFirstPagesOfTask = 16;

uint32_t looks_of(Watch watch) {
  switch (watch) {
    case Watch::kGlance: return 1;
    case Watch::kShort: return 7;
    case Watch::kLong: return 9;
  }
  return 1;
}

// "write_bytes" of /proc/PID/io: what the process caused to be written to a file system.
double written_bytes(const std::vector<HostPid>& processes) {
  constexpr std::string_view kField = "\nwrite_bytes: ";
  double sum = 0;
  for (const HostPid pid : processes) {
    const auto text = read_file(sys::proc_path(pid, "io"));
    if (!text) continue;  // it has ended
    const size_t at = text->find(kField);
    if (at != std::string::npos) sum += std::strtod(text->c_str() + at + kField.size(), nullptr);
  }
  return sum;
}

double count_descriptors(const std::vector<HostPid>& processes) {
  size_t count = 0;
  for (const HostPid pid : processes)
    if (const auto numbers = sys::list_descriptors(pid)) count += numbers->size();
  return static_cast<double>(count);
}

// Lines of /proc/PID/net/tcp have the state as their fourth word.
double count_connections(HostPid init) {
  constexpr std::string_view kEstablished = "01";
  size_t count = 0;
  for (const char* table : {"net/tcp", "net/tcp6"}) {
    const auto text = read_file(sys::proc_path(init, table));
    if (!text) continue;  // it has ended, or the kernel has no IPv6
    std::istringstream lines(*text);
    std::string line, number, local, remote, state;
    while (std::getline(lines, line)) {
      std::istringstream words(line);
      if (words >> number >> local >> remote >> state && state == kEstablished) ++count;
    }
  }
  return static_cast<double>(count);
}

// The scan begins when the watch ends; it finds every file changed since the watch began.
Result<models::FileLoad> scan_files(const Container& container, Nanoseconds since, double seconds,
                                    double written) {
  const auto scan = TRY(migrate::scan_tree(container.paths.upper, since));
  return models::FileLoad{.bytes = static_cast<double>(scan.bytes),
                          .files = static_cast<double>(scan.files),
                          .changed_files = static_cast<double>(scan.changed_files.size()) / seconds,
                          .written_bytes = written / seconds};
}

}  // namespace

Result<SampledLoad> sample_load(const Container& container, Watch watch, Clock& clock) {
  const auto processes = TRY(sys::list_namespace_processes(container.init()));
  const Nanoseconds since = migrate::file_time_now();
  const double written_before = written_bytes(processes);
  const Stopwatch stopwatch(clock);
  const auto memory = TRY(engine::sample_memory(
      processes, {.looks = looks_of(watch), .seed = std::random_device{}()}, clock));
  const double seconds = stopwatch.seconds();
  const double written = std::max(0.0, written_bytes(processes) - written_before);
  SampledLoad sampled;
  const auto pages = static_cast<double>(memory.pages);
  sampled.load = {.processes = static_cast<double>(memory.processes),
                  .threads = static_cast<double>(memory.threads),
                  .mappings = static_cast<double>(memory.mappings),
                  .descriptors = count_descriptors(processes),
                  .connections = count_connections(container.init()),
                  .first_pages = kFirstPagesOfTask * static_cast<double>(memory.threads),
                  .shared_pages = static_cast<double>(memory.shared_pages),
                  .file_memory = models::WorkingSetCurve(static_cast<double>(memory.file_pages),
                                                         memory.file_observations),
                  .memory = models::WorkingSetCurve(pages, memory.observations),
                  .files = TRY(scan_files(container, since, seconds, written))};
  for (const models::DirtyObservation& seen : memory.observations)
    sampled.looked_at.push_back(seen.seconds);
  return sampled;
}

}  // namespace martlet::agent
