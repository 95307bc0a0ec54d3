#include "migrate/stages.h"

#include <array>
#include <nlohmann/json.hpp>

#include "models/migration.h"

namespace martlet::migrate {

std::string_view stage_name(Stage stage) {
  using models::MoveStage;
  constexpr std::array<MoveStage, kStageCount> kForetold = {
      MoveStage::kCheck,      MoveStage::kFirstCopy,    MoveStage::kFreeze,  MoveStage::kCapture,
      MoveStage::kSecondCopy, MoveStage::kTransfer,     MoveStage::kRestore, MoveStage::kResume,
      MoveStage::kStopSource, MoveStage::kRemoveSource, MoveStage::kRounds,  MoveStage::kFetch};
  return models::stage_name(kForetold[static_cast<size_t>(stage)]);
}

std::string to_json(const MigrationReport& report) {
  auto stages = nlohmann::json::array();
  for (const StageReport& stage : report.stages)
    stages.push_back({{"number", static_cast<uint32_t>(stage.stage)},
                      {"name", stage_name(stage.stage)},
                      {"seconds", stage.seconds},
                      {"bytes", stage.bytes},
                      {"note", stage.note}});
  auto rounds = nlohmann::json::array();
  for (const RoundReport& round : report.rounds)
    rounds.push_back({{"number", round.number},
                      {"seconds", round.seconds},
                      {"stopped_seconds", round.stopped_seconds},
                      {"changed_bytes", round.changed_bytes},
                      {"sent_bytes", round.sent_bytes},
                      {"left_bytes", round.left_bytes},
                      {"link_rate", round.link_rate},
                      {"dirty_rate", round.dirty_rate},
                      {"expected_pause_seconds", round.expected_pause_seconds}});
  nlohmann::json object = {{"container", report.container},
                           {"source", report.source},
                           {"destination", report.destination},
                           {"stages", stages},
                           {"rounds", rounds},
                           {"pause_seconds", report.pause_seconds},
                           {"total_seconds", report.total_seconds},
                           {"bytes", report.bytes},
                           {"late_bytes", report.late_bytes},
                           {"wanted_pages", report.wanted_pages}};
  return object.dump(2);
}

}  // namespace martlet::migrate
