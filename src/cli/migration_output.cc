#include "cli/migration_output.h"

#include <fmt/format.h>

#include <array>

#include "cli/progress_view.h"

namespace martlet::cli {
namespace {

using Row = std::vector<std::string>;

constexpr size_t kShortId = 8;

template <size_t count>
std::string word_of(const std::array<const char*, count>& words, int number) {
  return number >= 0 && static_cast<size_t>(number) < count ? words[static_cast<size_t>(number)]
                                                            : "unknown";
}

std::string stop_rule_name(int rule) {
  return word_of(std::array{"max-pause", "criterion-1"}, rule);
}
std::string no_convergence_name(int answer) {
  return word_of(std::array{"throttle", "postcopy", "stop", "cancel"}, answer);
}
std::string compression_name(int compression) {
  return word_of(std::array{"none", "lz4", "zstd"}, compression);
}

double in_seconds(int64_t nanoseconds) {
  return static_cast<double>(nanoseconds) / 1e9;
}

std::string human_duration(int64_t nanoseconds) {
  return nanoseconds == 0 ? "-" : human_seconds(in_seconds(nanoseconds));
}

std::string human_rate(double bytes_per_second) {
  return bytes_per_second > 0 ? human_bytes(bytes_per_second) + "/s" : "-";
}

bool is_running(const agent::Migration& migration) {
  return migration.state() == agent::MIGRATION_RUNNING;
}

// Where it is, or how it ended.
std::string stage_of(const agent::Migration& migration) {
  if (!is_running(migration)) return "-";
  const agent::MigrationProgress& progress = migration.progress();
  std::string text = progress.stage().name().empty() ? "starting" : progress.stage().name();
  if (progress.round() > 0) text += fmt::format(" {}", progress.round());
  return text;
}

std::string sent_of(const agent::Migration& migration) {
  uint64_t bytes = migration.progress().transferred();
  uint64_t of_stages = 0;
  for (const agent::MigrationStage& stage : migration.stages()) of_stages += stage.bytes();
  bytes = std::max(bytes, of_stages);
  return bytes > 0 ? human_bytes(static_cast<double>(bytes)) : "-";
}

Json progress_json(const agent::MigrationProgress& progress) {
  Json json = {{"stage", progress.stage().name()},
               {"round", progress.round()},
               {"transferred_bytes", progress.transferred()},
               {"link_rate", progress.link_rate()}};
  json["remaining_bytes"] = progress.has_remaining() ? Json(progress.remaining()) : Json();
  json["dirty_rate"] = progress.has_dirty_rate() ? Json(progress.dirty_rate()) : Json();
  json["expected_pause_seconds"] =
      progress.has_expected_pause_ns() ? Json(in_seconds(progress.expected_pause_ns())) : Json();
  json["seconds_left"] =
      progress.has_time_left_ns() ? Json(in_seconds(progress.time_left_ns())) : Json();
  return json;
}

void add_options(const agent::MigrationOptions& options, std::vector<Row>& rows) {
  const bool limited = options.bandwidth() > 0;
  rows.push_back({"mode", mode_name(options.mode())});
  rows.push_back({"max pause", human_duration(options.max_pause_ns())});
  rows.push_back({"max time", human_duration(options.max_time_ns())});
  rows.push_back(
      {"bandwidth", limited ? human_rate(static_cast<double>(options.bandwidth())) : "no limit"});
  rows.push_back({"streams", std::to_string(options.streams())});
  rows.push_back({"compression", compression_name(options.compression())});
}

void add_progress(const agent::MigrationProgress& progress, std::vector<Row>& rows) {
  if (progress.has_remaining())
    rows.push_back({"remaining", human_bytes(static_cast<double>(progress.remaining()))});
  rows.push_back({"link rate", human_rate(progress.link_rate())});
  if (progress.has_dirty_rate()) rows.push_back({"dirty rate", human_rate(progress.dirty_rate())});
  if (progress.has_expected_pause_ns())
    rows.push_back({"expected pause", human_duration(progress.expected_pause_ns())});
  if (progress.has_time_left_ns())
    rows.push_back({"time left", human_duration(progress.time_left_ns())});
}

}  // namespace

std::string mode_name(agent::MigrationMode mode) {
  return word_of(std::array{"auto", "stop", "precopy", "postcopy", "hybrid"}, mode);
}

std::string migration_state_name(agent::MigrationState state) {
  return word_of(std::array{"running", "done", "failed", "cancelled"}, state);
}

Json to_json(const agent::MigrationOptions& options) {
  return {{"mode", mode_name(options.mode())},
          {"stop", stop_rule_name(options.stop_rule())},
          {"on_no_convergence", no_convergence_name(options.on_no_convergence())},
          {"max_pause_seconds", in_seconds(options.max_pause_ns())},
          {"max_rounds", options.max_rounds()},
          {"max_time_seconds", in_seconds(options.max_time_ns())},
          {"bandwidth", options.bandwidth()},
          {"streams", options.streams()},
          {"compress", compression_name(options.compression())},
          {"push_after_seconds", in_seconds(options.push_after_ns())}};
}

Json to_json(const agent::Migration& migration) {
  Json stages = Json::array();
  for (const agent::MigrationStage& stage : migration.stages())
    stages.push_back({{"number", stage.number()},
                      {"name", stage.name()},
                      {"seconds", stage.seconds()},
                      {"bytes", stage.bytes()}});
  const bool done = migration.pause_seconds() > 0;
  return {{"id", migration.id()},
          {"container", migration.container()},
          {"source", migration.source()},
          {"destination", migration.destination()},
          {"state", migration_state_name(migration.state())},
          {"problem", migration.problem().empty() ? Json() : Json(migration.problem())},
          {"started_at", migration.started_at()},
          {"seconds", migration.seconds()},
          {"options", migration.has_options() ? to_json(migration.options()) : Json()},
          {"progress", migration.has_progress() ? progress_json(migration.progress()) : Json()},
          {"stages", stages},
          {"pause_seconds", done ? Json(migration.pause_seconds()) : Json()}};
}

std::string migration_table(const agent::ListMigrationsReply& migrations, int64_t now) {
  std::vector<Row> rows{
      {"ID", "CONTAINER", "FROM", "TO", "STATE", "STAGE", "SENT", "TIME", "STARTED"}};
  for (const agent::Migration& migration : migrations.migrations())
    rows.push_back({migration.id().substr(0, kShortId), migration.container(), migration.source(),
                    migration.destination(), migration_state_name(migration.state()),
                    stage_of(migration), sent_of(migration), human_seconds(migration.seconds()),
                    human_age(now - migration.started_at()) + " ago"});
  return format_table(rows, {6, 7});
}

std::string migration_details(const agent::Migration& migration) {
  std::vector<Row> rows{{"migration", migration.id()},
                        {"container", migration.container()},
                        {"from", migration.source()},
                        {"to", migration.destination()},
                        {"state", migration_state_name(migration.state())}};
  if (!migration.problem().empty()) rows.push_back({"problem", migration.problem()});
  if (is_running(migration)) rows.push_back({"stage", stage_of(migration)});
  rows.push_back({"time", human_seconds(migration.seconds())});
  rows.push_back({"sent", sent_of(migration)});
  if (is_running(migration) && migration.has_options()) add_progress(migration.progress(), rows);
  if (migration.pause_seconds() > 0)
    rows.push_back({"pause", human_seconds(migration.pause_seconds())});
  if (migration.has_options()) add_options(migration.options(), rows);
  for (const agent::MigrationStage& stage : migration.stages())
    rows.push_back(
        {fmt::format("stage {} {}", stage.number(), stage.name()), human_seconds(stage.seconds())});
  return format_table(rows);
}

}  // namespace martlet::cli
