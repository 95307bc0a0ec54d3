#include "cli/prediction_output.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <ctime>

namespace martlet::cli {
namespace {

Json to_json(const agent::Bounds& bounds) {
  return {{"lower", bounds.lower()}, {"upper", bounds.upper()}};
}

Json to_json(const agent::Overhead& overhead) {
  return {{"cpu_seconds", to_json(overhead.cpu_seconds())},
          {"memory_bytes", to_json(overhead.memory_bytes())}};
}

std::string convergence_name(agent::Prediction::Convergence convergence) {
  switch (convergence) {
    case agent::Prediction::SURE: return "sure";
    case agent::Prediction::POSSIBLE: return "possible";
    default: return "none";
  }
}

Json to_json(const agent::PredictionInputs& inputs) {
  Json rates = Json::array();
  for (const agent::DirtyRate& rate : inputs.dirty_rates())
    rates.push_back({{"seconds", rate.seconds()}, {"pages", to_json(rate.pages())}});
  return {{"processes", inputs.processes()},
          {"threads", inputs.threads()},
          {"mappings", inputs.mappings()},
          {"pages", inputs.pages()},
          {"dirty_rates", rates},
          {"file_bytes", inputs.file_bytes()},
          {"files", inputs.files()},
          {"changed_files_per_second", inputs.changed_files_per_second()},
          {"written_bytes_per_second", inputs.written_bytes_per_second()},
          {"link_bytes_per_second", to_json(inputs.link_bytes_per_second())},
          {"round_trip", inputs.round_trip()},
          {"past_moves", inputs.past_moves()}};
}

// The error of the middle of the bounds, relative to what was measured; null if nothing was
// foretold.
Json error_of(const agent::Bounds& foretold, double measured) {
  if (measured <= 0 || foretold.upper() <= 0) return nullptr;
  return std::sqrt(foretold.lower() * foretold.upper()) / measured - 1;
}

bool holds(const agent::Bounds& foretold, double measured) {
  return foretold.lower() <= measured && measured <= foretold.upper();
}

std::string time_of_day(int64_t milliseconds) {
  const auto seconds = static_cast<std::time_t>(milliseconds / 1000);
  return fmt::format("{:%Y-%m-%d %H:%M:%S}", fmt::localtime(seconds));
}

std::string range_of(const agent::Bounds& bounds, std::string (*text)(double)) {
  const std::string lower = text(bounds.lower());
  const std::string upper = text(bounds.upper());
  return lower == upper ? upper : lower + " - " + upper;
}

std::string plain_seconds(double seconds) {
  return human_seconds(seconds);
}

void add_mode_rows(const agent::HostPrediction& host, std::vector<std::vector<std::string>>& rows) {
  const auto row = [&](const std::string& title, auto cell) {
    std::vector<std::string> cells{title};
    for (const agent::Prediction& mode : host.modes()) cells.push_back(cell(mode));
    rows.push_back(std::move(cells));
  };
  row("", [](const agent::Prediction& mode) { return mode.mode(); });
  const int stages = host.modes(0).stages_size();
  for (int i = 0; i < stages; ++i)
    row(host.modes(0).stages(i).name() + (host.modes(0).stages(i).pause() ? " *" : ""),
        [i](const agent::Prediction& mode) {
          const agent::Bounds& seconds = mode.stages(i).seconds();
          return seconds.upper() > 0 ? human_seconds(seconds) : std::string("-");
        });
  row("pause", [](const agent::Prediction& mode) { return human_seconds(mode.pause()); });
  row("in all", [](const agent::Prediction& mode) { return human_seconds(mode.total()); });
  row("sent", [](const agent::Prediction& mode) { return range_of(mode.bytes(), human_bytes); });
  row("CPU, source",
      [](const agent::Prediction& mode) { return human_seconds(mode.source().cpu_seconds()); });
  row("CPU, destination", [](const agent::Prediction& mode) {
    return human_seconds(mode.destination().cpu_seconds());
  });
  row("memory, source", [](const agent::Prediction& mode) {
    return range_of(mode.source().memory_bytes(), human_bytes);
  });
  row("memory, destination", [](const agent::Prediction& mode) {
    return range_of(mode.destination().memory_bytes(), human_bytes);
  });
  row("container loses",
      [](const agent::Prediction& mode) { return human_seconds(mode.slowdown_seconds()); });
}

std::string describe_inputs(const std::string& container, const agent::HostPrediction& host) {
  const agent::PredictionInputs& inputs = host.inputs();
  std::string text = fmt::format(
      "{} to {}: {} processes, {} threads, {} of memory, {} in {:.0f} files; link {}/s, round trip "
      "{}; corrected by {} earlier moves\n",
      container, host.host(), inputs.processes(), inputs.threads(),
      human_bytes(inputs.pages() * 4096), human_bytes(inputs.file_bytes()), inputs.files(),
      range_of(inputs.link_bytes_per_second(), human_bytes), human_seconds(inputs.round_trip()),
      inputs.past_moves());
  text += "written within";
  for (const agent::DirtyRate& rate : inputs.dirty_rates())
    text += fmt::format(" {}: {} - {};", human_seconds(rate.seconds()),
                        human_bytes(rate.pages().lower() * 4096),
                        human_bytes(rate.pages().upper() * 4096));
  text.back() = '\n';
  return text;
}

}  // namespace

std::string human_seconds(const agent::Bounds& seconds) {
  return range_of(seconds, plain_seconds);
}

Json to_json(const agent::Prediction& prediction) {
  Json stages = Json::array();
  for (const agent::StageEstimate& stage : prediction.stages())
    stages.push_back({{"name", stage.name()},
                      {"pause", stage.pause()},
                      {"seconds", to_json(stage.seconds())},
                      {"bytes", to_json(stage.bytes())}});
  return {{"mode", prediction.mode()},
          {"stages", stages},
          {"pause_seconds", to_json(prediction.pause())},
          {"total_seconds", to_json(prediction.total())},
          {"bytes", to_json(prediction.bytes())},
          {"rounds", to_json(prediction.rounds())},
          {"convergence", convergence_name(prediction.convergence())},
          {"demand_faults", to_json(prediction.demand_faults())},
          {"slowdown_seconds", to_json(prediction.slowdown_seconds())},
          {"source", to_json(prediction.source())},
          {"destination", to_json(prediction.destination())}};
}

Json to_json(const agent::HostPrediction& host) {
  if (!host.problem().empty()) return {{"host", host.host()}, {"problem", host.problem()}};
  Json modes = Json::array();
  for (const agent::Prediction& mode : host.modes()) modes.push_back(to_json(mode));
  return {{"host", host.host()},
          {"inputs", to_json(host.inputs())},
          {"modes", modes},
          {"auto", {{"mode", host.chosen_mode()}, {"reason", host.reason()}}}};
}

Json to_json(const agent::MoveRecord& move) {
  const agent::MigrationSummary& measured = move.measured();
  const agent::Prediction& foretold = measured.predicted();
  Json rounds = Json::array();
  for (const agent::MigrationRound& round : move.rounds())
    rounds.push_back({{"number", round.number()},
                      {"seconds", round.seconds()},
                      {"bytes", round.bytes()},
                      {"pages_left", round.pages_left()},
                      {"dirty_rate", round.dirty_rate()},
                      {"link_rate", round.link_rate()}});
  Json summary = to_json(measured);
  summary.erase("predicted");  // stands beside it
  summary.erase("reason");
  Json json = {{"started_at_ms", move.started_at_ms()},
               {"mode", move.mode()},
               {"reason", measured.reason()},
               {"measured", summary},
               {"rounds", rounds},
               {"predicted", nullptr}};
  if (!measured.has_predicted()) return json;
  json["inputs"] = to_json(move.inputs());
  json["predicted"] = to_json(foretold);
  json["error"] = {{"pause", error_of(foretold.pause(), measured.pause_seconds())},
                   {"total", error_of(foretold.total(), measured.total_seconds())},
                   {"pause_within", holds(foretold.pause(), measured.pause_seconds())},
                   {"total_within", holds(foretold.total(), measured.total_seconds())}};
  return json;
}

std::string describe(const std::string& container, const agent::HostPrediction& host) {
  if (!host.problem().empty()) return fmt::format("{}: {}\n", host.host(), host.problem());
  std::string text = describe_inputs(container, host);
  std::vector<std::vector<std::string>> rows;
  if (host.modes_size() > 0) add_mode_rows(host, rows);
  text += format_table(rows, {1, 2, 3, 4}) + "* the container stands still\n";
  for (const agent::Prediction& mode : host.modes()) {
    if (mode.convergence() == agent::Prediction::NONE)
      text += fmt::format("{}: the rounds do not converge; a forced stop takes up to {}\n",
                          mode.mode(), human_seconds(mode.pause().upper()));
  }
  text += fmt::format("auto: {}\n", host.reason());
  return text;
}

std::string outside(const agent::Bounds& foretold, double measured) {
  if (foretold.upper() <= 0 || holds(foretold, measured)) return "";
  return measured > foretold.upper()
             ? fmt::format("+{:.0f} %", 100 * (measured / foretold.upper() - 1))
             : fmt::format("-{:.0f} %", 100 * (1 - measured / foretold.lower()));
}

std::string history_table(const agent::HistoryReply& history) {
  std::vector<std::vector<std::string>> rows{{"STARTED", "CONTAINER", "TO", "MODE", "PAUSE",
                                              "FORETOLD", "", "TOTAL", "FORETOLD", "", "SENT"}};
  for (const agent::MoveRecord& move : history.moves()) {
    const agent::MigrationSummary& measured = move.measured();
    const agent::Prediction& foretold = measured.predicted();
    const bool known = measured.has_predicted();
    rows.push_back({time_of_day(move.started_at_ms()), measured.container(), measured.destination(),
                    move.mode(), human_seconds(measured.pause_seconds()),
                    known ? human_seconds(foretold.pause()) : "-",
                    outside(foretold.pause(), measured.pause_seconds()),
                    human_seconds(measured.total_seconds()),
                    known ? human_seconds(foretold.total()) : "-",
                    outside(foretold.total(), measured.total_seconds()),
                    human_bytes(static_cast<double>(measured.bytes()))});
  }
  return format_table(rows, {4, 5, 6, 7, 8, 9, 10});
}

}  // namespace martlet::cli
