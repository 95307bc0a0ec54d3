#include "migrate/stages.h"

#include <array>
#include <nlohmann/json.hpp>

namespace martlet::migrate {

std::string_view stage_name(Stage stage) {
  constexpr std::array<std::string_view, kStageCount> kNames = {
      "pre-flight check", "first file copy", "freeze", "capture",     "second file copy",
      "transfer",         "restore",         "resume", "stop source", "remove source"};
  return kNames[static_cast<size_t>(stage)];
}

std::string to_json(const MigrationReport& report) {
  auto stages = nlohmann::json::array();
  for (const StageReport& stage : report.stages)
    stages.push_back({{"number", static_cast<uint32_t>(stage.stage)},
                      {"name", stage_name(stage.stage)},
                      {"seconds", stage.seconds},
                      {"bytes", stage.bytes}});
  nlohmann::json object = {{"container", report.container},
                           {"source", report.source},
                           {"destination", report.destination},
                           {"stages", stages},
                           {"pause_seconds", report.pause_seconds},
                           {"total_seconds", report.total_seconds},
                           {"bytes", report.bytes}};
  return object.dump(2);
}

}  // namespace martlet::migrate
