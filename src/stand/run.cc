#include "stand/run.h"

#include <fmt/format.h>

#include <cmath>
#include <filesystem>

#include "stand/hosts.h"
#include "stand/requests.h"

namespace martlet::stand {
namespace {

using models::MovedCell;
using models::MoveMode;
using models::StandCell;
using models::StandGrid;

constexpr const char* kName = "load";
constexpr const char* kLoadProgram = "martlet-stand-load";
constexpr uint16_t kPort = 7000;
constexpr auto kCall = std::chrono::seconds(60);
constexpr auto kSteady = std::chrono::milliseconds(500);  // before and after the move
constexpr double kPage = 4096;

agent::MigrationMode to_message(MoveMode mode) {
  switch (mode) {
    case MoveMode::kStop: return agent::MODE_STOP;
    case MoveMode::kPrecopy: return agent::MODE_PRECOPY;
    case MoveMode::kPostcopy: return agent::MODE_POSTCOPY;
    case MoveMode::kHybrid: return agent::MODE_HYBRID;
  }
  return agent::MODE_AUTO;
}

models::Bounds to_model(const agent::Bounds& bounds) {
  return {bounds.lower(), bounds.upper()};
}

std::vector<models::StageTime> stages_of(const agent::MigrationSummary& measured) {
  std::vector<models::StageTime> stages;
  for (const agent::MigrationStage& stage : measured.stages())
    stages.push_back({stage.name(), stage.seconds(), {}});
  for (const agent::StageEstimate& foretold : measured.predicted().stages())
    for (models::StageTime& stage : stages)
      if (stage.name == foretold.name()) stage.foretold = to_model(foretold.seconds());
  return stages;
}

class Runner {
 public:
  Runner(const StandGrid& grid, const Place& place, Observer& observer, Hosts& hosts)
      : grid_(grid), base_(place.directory() + "/base"), observer_(observer), hosts_(hosts) {}

  Result<void> prepare() {
    std::error_code failed;
    std::filesystem::create_directory(base_, failed);
    std::filesystem::copy_file(TRY(program_beside(kLoadProgram)), base_ + "/" + kLoadProgram,
                               failed);
    if (failed) return fail(Code::kSystem, base_ + ": " + failed.message());
    return {};
  }

  Result<Outcome> run() {
    Outcome outcome;
    const std::vector<StandCell> cells = models::cells_of(grid_);
    for (size_t i = 0; i < cells.size(); ++i) {
      observer_.begins(i + 1, cells.size(), cells[i]);
      auto done = run_cell(cells[i]);
      TRY(remove_load());
      if (done) {
        observer_.moved(*done);
        outcome.moved.push_back(std::move(*done));
      } else {
        outcome.failed.push_back({cells[i], std::move(done).error()});
        observer_.failed(outcome.failed.back());
      }
    }
    return outcome;
  }

 private:
  Result<MovedCell> run_cell(const StandCell& cell) {
    TRY(hosts_.limit_link(cell.link));
    TRY(hosts_.client(0, kCall).run(declaration_of(cell)));
    Fd connection =
        TRY(connect_to_load(hosts_.client_network(), {kContainerAddress, kPort}, kCall));
    if (cell.reads <= 0) {
      clock_.sleep_for(kSteady);
      return move(cell);
    }
    Requests requests(std::move(connection), cell.reads,
                      static_cast<uint64_t>(std::ceil(cell.memory / kPage)));
    clock_.sleep_for(kSteady);
    requests.mark_move();
    MovedCell moved = TRY(move(cell));
    clock_.sleep_for(kSteady);
    moved.client = TRY_IN(requests.finish(), "client");
    return moved;
  }

  agent::Declaration declaration_of(const StandCell& cell) const {
    agent::Declaration declaration;
    declaration.set_name(kName);
    declaration.set_overlay(base_);
    declaration.add_addresses(fmt::format("{}/{}", kContainerAddress, kPrefixLength));
    declaration.add_args(std::string("/") + kLoadProgram);
    for (const double number : {double(kPort), cell.memory, cell.writes,
                                std::ceil(cell.files / grid_.file_size), grid_.file_size})
      declaration.add_args(fmt::format("{:.0f}", number));
    return declaration;
  }

  // The longest that is plausible: every round, the pause and the files over half of the link.
  Nanoseconds limit_of(const StandCell& cell) const {
    const double seconds = (grid_.most_rounds + 2) * (cell.memory + cell.files) / (cell.link / 2);
    return kCall + std::chrono::duration_cast<Nanoseconds>(std::chrono::duration<double>(seconds));
  }

  Result<MovedCell> move(const StandCell& cell) {
    agent::MigrateRequest request;
    request.set_name(kName);
    request.set_host(kHostNames[1]);
    agent::MigrationOptions& options = *request.mutable_options();
    options.set_mode(to_message(cell.mode));
    if (cell.mode == MoveMode::kPrecopy || cell.mode == MoveMode::kHybrid) {
      options.set_max_pause_ns(std::llround(grid_.longest_pause_seconds * 1e9));
      options.set_max_rounds(
          cell.mode == MoveMode::kHybrid ? 1 : static_cast<uint32_t>(grid_.most_rounds));
      options.set_on_no_convergence(agent::NO_CONVERGENCE_STOP);
    }
    agent::Client source = hosts_.client(0, limit_of(cell));
    TRY(source.migrate(request, [&](const agent::MigrationEvent& event) {
      if (event.has_progress()) observer_.migrates(event.progress());
    }));
    agent::HistoryRequest newest;
    newest.set_name(kName);
    newest.set_limit(1);
    const agent::HistoryReply history = TRY(source.migration_history(newest));
    if (history.moves_size() == 0) return fail(Code::kNotFound, "the agent remembers no move");
    return moved_cell(grid_, cell, history.moves(0));
  }

  Result<void> remove_load() {
    for (size_t host = 0; host < kHostNames.size(); ++host) {
      agent::RemoveRequest request;
      request.set_name(kName);
      request.set_force(true);
      if (const auto removed = hosts_.client(host, kCall).remove(request);
          !removed && removed.error().code() != Code::kNotFound)
        return in_context(removed, kHostNames[host]);
    }
    return {};
  }

  SystemClock clock_;
  const StandGrid& grid_;
  const std::string base_;  // the root file system of the load, below its writable layer
  Observer& observer_;
  Hosts& hosts_;
};

}  // namespace

MovedCell moved_cell(const StandGrid& grid, const StandCell& cell,
                     const agent::MoveRecord& record) {
  const agent::MigrationSummary& measured = record.measured();
  const models::Prediction declared = models::declared_prediction(grid, cell);
  MovedCell moved{.cell = cell,
                  .pause = measured.pause_seconds(),
                  .total = measured.total_seconds(),
                  .sent = static_cast<double>(measured.bytes()),
                  .rounds = static_cast<uint32_t>(record.rounds_size()),
                  .wanted_pages = measured.wanted_pages(),
                  .client = {},
                  .declared = {declared.pause, declared.total},
                  .stages = stages_of(measured),
                  .calibrated = {}};
  if (measured.has_predicted())
    moved.calibrated = models::Foretold{to_model(measured.predicted().pause()),
                                        to_model(measured.predicted().total())};
  return moved;
}

Result<Outcome> run_grid(const StandGrid& grid, const Place& place, Observer& observer) {
  observer.begins("starting two hosts");
  Hosts hosts = TRY(Hosts::start(place));
  Runner runner(grid, place, observer, hosts);
  TRY(runner.prepare());
  return runner.run();
}

}  // namespace martlet::stand
