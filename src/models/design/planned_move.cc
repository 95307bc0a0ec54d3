#include "models/design/planned_move.h"

#include <algorithm>
#include <limits>

namespace martlet::models {
namespace {

constexpr double kPage = 4096;
constexpr double kUsualPause = 0.3;  // seconds: what rounds aim at where no limit is given
constexpr double kAsQuick = 1.1;     // times the quickest
constexpr double kThreads = 20;      // of a service
constexpr double kMappings = 300;
constexpr double kPagesOfThread = 16;  // that post-copy sends first

}  // namespace

HostCosts typical_host() {
  return {.page_read = 0.6e-6,
          .page_hash = 0.4e-6,
          .page_encrypt = 1e-6,
          .page_socket = 1e-6,
          .page_touch = 2.5e-6,
          .task_stop = 50e-6,
          .task_read = 100e-6,
          .mapping_read = 5e-6,
          .fork = 500e-6,
          .sandbox_start = 40e-3,
          .copy_start = 30e-3,
          .file_compare = 3e-6,
          .durable_write = 2e-3,
          .cores = 8};
}

MoveInputs planned_inputs(const ServiceClass& service, double bytes_per_second, Storage storage,
                          const Assumptions& assumptions, double longest_pause_seconds) {
  MoveInputs inputs;
  inputs.source = inputs.destination = typical_host();
  inputs.link = {.bytes_per_second = Bounds::exactly(bytes_per_second * assumptions.link_share),
                 .round_trip = assumptions.round_trip_seconds,
                 .connect = 5e-3};
  const double pages = service.memory_bytes / kPage;
  const double working_set =
      std::min(service.working_set.value_or(service.memory_bytes) / kPage, pages);
  inputs.container = {
      .processes = 1,
      .threads = kThreads,
      .mappings = kMappings,
      .first_pages = kThreads * kPagesOfThread,
      .memory = WorkingSetCurve::linear(pages, service.write_rate / kPage, working_set),
      .files = {}};
  if (storage == Storage::kReplicated && service.file_bytes > 0)
    inputs.container.files = {
        .bytes = service.file_bytes,
        .files = service.files,
        .changed_files = service.file_write_rate > 0 ? std::max(1.0, service.files / 1000) : 0,
        .written_bytes = service.file_write_rate};
  inputs.options.max_pause = longest_pause_seconds > 0 ? longest_pause_seconds : kUsualPause;
  inputs.options.streams = 1;  // the rate is that of the port, which more connections do not raise
  return inputs;
}

std::vector<Prediction> planned_moves(const MoveInputs& inputs) {
  std::vector<Prediction> moves;
  for (const MoveMode mode : kMoveModes) moves.push_back(predict(mode, inputs));
  return moves;
}

PlannedMove plan_move(const MoveInputs& inputs, double longest_pause_seconds) {
  const std::vector<Prediction> moves = planned_moves(inputs);
  double quickest = std::numeric_limits<double>::infinity();
  for (const Prediction& move : moves)
    if (longest_pause_seconds <= 0 || move.pause.upper <= longest_pause_seconds)
      quickest = std::min(quickest, move.total.upper);
  // If none is within the limit this takes the shortest pause of all.
  const Prediction* best = nullptr;
  for (const Prediction& move : moves)
    if (move.total.upper <= kAsQuick * quickest &&
        (best == nullptr || move.pause.upper < best->pause.upper))
      best = &move;
  const Prediction& precopy = moves[static_cast<size_t>(MoveMode::kPrecopy)];
  return {.mode = best->mode,
          .pause_seconds = best->pause.upper,
          .total_seconds = best->total.upper,
          .converges = precopy.converges != Rounds::Converges::kNo};
}

}  // namespace martlet::models
