#include "migrate/stage_log.h"

#include <utility>

namespace martlet::migrate {

StageLog::StageLog(const Clock& clock, Observer& observer, std::string container,
                   std::string source, std::string destination)
    : clock_(clock), observer_(observer), started_(clock.now()) {
  for (size_t i = 0; i < stages_.size(); ++i) stages_[i].stage = static_cast<Stage>(i);
  report_.container = std::move(container);
  report_.source = std::move(source);
  report_.destination = std::move(destination);
}

Result<void> StageLog::measure(Stage stage, const std::function<Result<void>()>& work) {
  const Stopwatch watch(clock_);
  const double inside_before = std::exchange(seconds_inside_, 0);
  rate_.restart(clock_.now());
  observer_.on_progress({.stage = stage});
  auto result = work();
  const double seconds = watch.seconds();
  at(stage).seconds += seconds - seconds_inside_;
  seconds_inside_ = inside_before + seconds;
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

void StageLog::progress(Stage stage, uint64_t bytes, const Outlook& outlook) {
  Progress progress{.stage = stage,
                    .bytes = bytes,
                    .transferred = bytes,
                    .link_rate = rate_.add(clock_.now(), bytes),
                    .outlook = outlook};
  for (const StageReport& done : stages_) progress.transferred += done.bytes;
  if (outlook.remaining && progress.link_rate > 0)
    progress.time_left = std::chrono::duration_cast<Nanoseconds>(std::chrono::duration<double>(
        static_cast<double>(*outlook.remaining) / progress.link_rate));
  observer_.on_progress(progress);
}

void StageLog::add_round(const RoundReport& round) {
  report_.rounds.push_back(round);
}

Outlook StageLog::outlook() const {
  Outlook outlook{.round = static_cast<uint32_t>(report_.rounds.size() + 1)};
  if (report_.rounds.empty()) return outlook;
  const RoundReport& last = report_.rounds.back();
  outlook.remaining = last.left_bytes;
  outlook.dirty_rate = last.dirty_rate;
  outlook.expected_pause = std::chrono::duration_cast<Nanoseconds>(
      std::chrono::duration<double>(last.expected_pause_seconds));
  return outlook;
}

void StageLog::set_late_memory(uint64_t bytes, uint64_t wanted_pages) {
  report_.late_bytes = bytes;
  report_.wanted_pages = wanted_pages;
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
