#include "agent/migration_messages.h"

#include "agent/prediction_messages.h"
#include "base/ids.h"

namespace martlet::agent {

MigrationStage to_message(const migrate::StageReport& report) {
  MigrationStage stage;
  stage.set_number(static_cast<uint32_t>(report.stage));
  stage.set_name(std::string(migrate::stage_name(report.stage)));
  stage.set_seconds(report.seconds);
  stage.set_note(report.note);
  stage.set_bytes(report.bytes);
  return stage;
}

MigrationRound to_message(const migrate::RoundReport& round) {
  MigrationRound message;
  message.set_number(round.number);
  message.set_seconds(round.seconds);
  message.set_bytes(round.sent_bytes);
  message.set_pages_left(round.left_bytes / kPageSize);
  message.set_dirty_rate(round.dirty_rate);
  message.set_link_rate(round.link_rate);
  return message;
}

MigrationSummary to_message(const migrate::MigrationReport& report) {
  MigrationSummary summary;
  summary.set_container(report.container);
  summary.set_source(report.source);
  summary.set_destination(report.destination);
  for (const migrate::StageReport& stage : report.stages) *summary.add_stages() = to_message(stage);
  summary.set_pause_seconds(report.pause_seconds);
  summary.set_total_seconds(report.total_seconds);
  summary.set_bytes(report.bytes);
  summary.set_late_bytes(report.late_bytes);
  summary.set_wanted_pages(report.wanted_pages);
  if (report.predicted) *summary.mutable_predicted() = to_message(*report.predicted);
  summary.set_reason(report.reason);
  return summary;
}

MigrationProgress to_message(const migrate::Progress& progress) {
  const migrate::Outlook& outlook = progress.outlook;
  MigrationProgress message;
  *message.mutable_stage() =
      to_message(migrate::StageReport{.stage = progress.stage, .bytes = progress.bytes});
  message.set_round(outlook.round);
  message.set_transferred(progress.transferred);
  message.set_link_rate(progress.link_rate);
  if (outlook.remaining) message.set_remaining(*outlook.remaining);
  if (outlook.dirty_rate) message.set_dirty_rate(*outlook.dirty_rate);
  if (outlook.expected_pause) message.set_expected_pause_ns(outlook.expected_pause->count());
  if (progress.time_left) message.set_time_left_ns(progress.time_left->count());
  return message;
}

MigrationPlan to_message(const migrate::Feasibility& feasibility) {
  MigrationPlan plan;
  plan.set_memory_bytes(feasibility.memory_bytes);
  plan.set_file_bytes(feasibility.file_bytes);
  return plan;
}

}  // namespace martlet::agent
