#include "migrate/stage_log.h"

namespace martlet::migrate {

namespace {

double in_seconds(Nanoseconds duration) {
  return std::chrono::duration<double>(duration).count();
}

}  // namespace

StageLog::StageLog(const Clock& clock, Observer& observer, std::string container,
                   std::string source, std::string destination)
    : clock_(clock), observer_(observer), started_(clock.now()) {
  for (size_t i = 0; i < stages_.size(); ++i) stages_[i].stage = static_cast<Stage>(i);
  report_.container = std::move(container);
  report_.source = std::move(source);
  report_.destination = std::move(destination);
}

Result<void> StageLog::measure(Stage stage, const std::function<Result<void>()>& work) {
  stage_started_ = clock_.now();
  observer_.on_progress({.stage = stage});
  auto result = work();
  at(stage).seconds += in_seconds(clock_.now() - stage_started_);
  if (!result) return in_context(std::move(result), "stage " + std::string(stage_name(stage)));
  observer_.on_stage_done(at(stage));
  if (stage == Stage::kCapture) observer_.on_stage_done(at(Stage::kTransfer));
  return result;
}

void StageLog::add_bytes(Stage stage, uint64_t bytes) {
  at(stage).bytes += bytes;
}

void StageLog::move_seconds(Stage from, Stage to, double seconds) {
  at(from).seconds -= seconds;
  at(to).seconds += seconds;
}

void StageLog::progress(Stage stage, uint64_t bytes, uint64_t expected_bytes) {
  double seconds = in_seconds(clock_.now() - stage_started_);
  observer_.on_progress(
      {.stage = stage,
       .bytes = bytes,
       .expected_bytes = expected_bytes,
       .bytes_per_second = seconds > 0 ? static_cast<double>(bytes) / seconds : 0});
}

void StageLog::set_pause(Nanoseconds pause) {
  report_.pause_seconds = in_seconds(pause);
}

MigrationReport StageLog::finish() {
  report_.stages.assign(stages_.begin(), stages_.end());
  for (const StageReport& stage : stages_) report_.bytes += stage.bytes;
  report_.total_seconds = in_seconds(clock_.now() - started_);
  return report_;
}

}  // namespace martlet::migrate
