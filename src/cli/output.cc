#include "cli/output.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

#include "cli/prediction_output.h"

namespace martlet::cli {
namespace {

template <typename Repeated>
Json strings(const Repeated& values) {
  return std::vector<std::string>(values.begin(), values.end());
}

Json root_json(const agent::Declaration& declaration) {
  switch (declaration.root_case()) {
    case agent::Declaration::kOverlay: return {{"overlay", declaration.overlay()}};
    case agent::Declaration::kRootfs: return {{"rootfs", declaration.rootfs()}};
    case agent::Declaration::kBundle: return {{"bundle", declaration.bundle().path()}};
    case agent::Declaration::ROOT_NOT_SET: break;
  }
  return nullptr;
}

std::string external_unix_word(const agent::Declaration& declaration) {
  switch (declaration.external_unix()) {
    case agent::OUTSIDE_PEERS_CLOSE: return "close";
    case agent::OUTSIDE_PEERS_RECONNECT: return "reconnect";
    default: return "refuse";
  }
}

Json volumes_json(const agent::Declaration& declaration) {
  Json volumes = Json::array();
  for (const agent::Volume& volume : declaration.volumes())
    volumes.push_back({{"source", volume.source()},
                       {"destination", volume.destination()},
                       {"read_only", volume.read_only()}});
  return volumes;
}

}  // namespace

Json to_json(const agent::ContainerInfo& container) {
  const agent::ContainerRecord& record = container.record();
  const agent::Declaration& declaration = record.declaration();
  Json json;
  json["name"] = declaration.name();
  json["state"] = state_name(record.state());
  json["pid"] = record.init_pid() ? Json(record.init_pid()) : Json();
  json["exit_code"] = record.has_exit_code() ? Json(record.exit_code()) : Json();
  json["busy_with"] = container.busy_with().empty() ? Json() : Json(container.busy_with());
  json["arriving"] = container.arriving().empty() ? Json() : Json(container.arriving());
  json["lost"] = record.lost().empty() ? Json() : Json(record.lost());
  json["generation"] = record.generation();
  json["created_at"] = record.created_at();
  json["args"] = strings(declaration.args());
  json["env"] = strings(declaration.env());
  json["root"] = root_json(declaration);
  json["addresses"] = strings(declaration.addresses());
  json["gateways"] = strings(declaration.gateways());
  json["mac"] = declaration.mac();
  json["memory_bytes"] = declaration.memory_bytes();
  json["cpus"] = declaration.cpus();
  json["volumes"] = volumes_json(declaration);
  json["external_unix"] = external_unix_word(declaration);
  json["log_path"] = container.log_path();
  json["root_path"] = container.root_path();
  json["upper_path"] = container.upper_path();
  json["cgroup"] = container.cgroup();
  json["host_interface"] = container.host_interface();
  return json;
}

Json to_json(const agent::HostInfo& host) {
  return {{"name", host.name()},
          {"version", host.version()},
          {"kernel", host.kernel()},
          {"peer_address", host.peer_address()},
          {"kernel_features", strings(host.kernel_features())},
          {"cpu_features", strings(host.cpu_features())},
          {"memory_free_bytes", host.memory_free_bytes()},
          {"disk_free_bytes", host.disk_free_bytes()}};
}

Json to_json(const agent::MigrationSummary& summary) {
  Json stages = Json::array();
  for (const agent::MigrationStage& stage : summary.stages())
    stages.push_back({{"number", stage.number()},
                      {"name", stage.name()},
                      {"seconds", stage.seconds()},
                      {"bytes", stage.bytes()},
                      {"note", stage.note()}});
  return {{"container", summary.container()},
          {"source", summary.source()},
          {"destination", summary.destination()},
          {"stages", stages},
          {"pause_seconds", summary.pause_seconds()},
          {"total_seconds", summary.total_seconds()},
          {"bytes", summary.bytes()},
          {"late_bytes", summary.late_bytes()},
          {"wanted_pages", summary.wanted_pages()},
          {"reason", summary.reason()},
          {"predicted", summary.has_predicted() ? to_json(summary.predicted()) : Json()}};
}

Json to_json(const Error& error) {
  return {{"error",
           {{"code", std::string(code_name(error.code()))},
            {"message", error.to_string()},
            {"remedy", error.remedy()}}}};
}

void print_json(const Json& value) {
  const auto replace = Json::error_handler_t::replace;  // names and messages need not be UTF-8
  std::printf("%s\n", value.dump(2, ' ', false, replace).c_str());
}

std::string state_name(agent::State state) {
  switch (state) {
    case agent::STATE_CREATING: return "creating";
    case agent::STATE_RUNNING: return "running";
    case agent::STATE_PAUSED: return "paused";
    case agent::STATE_EXITED: return "exited";
    case agent::STATE_RESTORING: return "restoring";
    default: return "unknown";
  }
}

std::string human_bytes(double bytes) {
  if (bytes < 1000) return fmt::format("{:.0f} B", bytes);
  const char* const units[] = {"kB", "MB", "GB", "TB"};
  size_t unit = 0;
  for (bytes /= 1000; bytes >= 999.95 && unit < 3; bytes /= 1000) unit++;
  return fmt::format("{:.1f} {}", bytes, units[unit]);
}

std::string human_seconds(double seconds) {
  if (seconds >= 1) return fmt::format("{:.2f} s", seconds);
  if (seconds >= 1e-3) return fmt::format("{:.2f} ms", seconds * 1e3);
  return fmt::format("{:.0f} us", seconds * 1e6);
}

std::string human_age(int64_t seconds) {
  if (seconds < 120) return fmt::format("{} s", std::max<int64_t>(seconds, 0));
  if (seconds < 7200) return fmt::format("{} min", seconds / 60);
  if (seconds < 172800) return fmt::format("{} h", seconds / 3600);
  return fmt::format("{} d", seconds / 86400);
}

std::string format_table(const std::vector<std::vector<std::string>>& rows,
                         const std::vector<size_t>& right_aligned) {
  std::vector<size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t column = 0; column < row.size(); column++)
      widths[column] = std::max(widths[column], row[column].size());
  }
  std::string text;
  for (const auto& row : rows) {
    std::string line;
    for (size_t column = 0; column < row.size(); column++) {
      const bool right = std::ranges::find(right_aligned, column) != right_aligned.end();
      line += right ? fmt::format("{:>{}}  ", row[column], widths[column])
                    : fmt::format("{:<{}}  ", row[column], widths[column]);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  return text;
}

}  // namespace martlet::cli
