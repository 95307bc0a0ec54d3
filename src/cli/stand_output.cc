#include "cli/stand_output.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace martlet::cli {
namespace {

using models::Bounds;
using models::Foretold;
using models::ModelError;
using models::MovedCell;
using models::MoveMode;
using models::QuantityError;
using models::StandCell;
using models::WriteEffect;
using models::WriteLoad;

std::string rate(double bytes_per_second) {
  return human_bytes(bytes_per_second) + "/s";
}

// "12.0 - 34.0 ms", and how the measured value lies to it.
std::string beside(const Bounds& foretold, double measured) {
  if (foretold.contains(measured))
    return fmt::format("{} - {}", human_seconds(foretold.lower), human_seconds(foretold.upper));
  return fmt::format("{} - {} {}", human_seconds(foretold.lower), human_seconds(foretold.upper),
                     measured > foretold.upper ? "<" : ">");
}

std::string beside(const std::optional<Foretold>& foretold, Bounds Foretold::* quantity,
                   double measured) {
  return foretold ? beside((*foretold).*quantity, measured) : "-";
}

std::string load_name(WriteLoad load) {
  switch (load) {
    case WriteLoad::kNone: return "nothing";
    case WriteLoad::kSlower: return "slower than the link";
    case WriteLoad::kFaster: return "faster than the link";
  }
  return "";
}

std::string forecast_name(models::Forecast forecast) {
  return forecast == models::Forecast::kDeclared ? "declared" : "calibrated";
}

const WriteEffect* find(const std::vector<WriteEffect>& effects, MoveMode mode, WriteLoad load) {
  const auto found = std::ranges::find_if(effects, [&](const WriteEffect& effect) {
    return effect.mode == mode && effect.load == load;
  });
  return found == effects.end() ? nullptr : &*found;
}

Json to_json(const Bounds& bounds) {
  return {{"lower", bounds.lower}, {"upper", bounds.upper}};
}

Json to_json(const Foretold& foretold) {
  return {{"pause_seconds", to_json(foretold.pause)}, {"total_seconds", to_json(foretold.total)}};
}

Json to_json(const StandCell& cell) {
  return {{"mode", models::mode_name(cell.mode)},
          {"memory_bytes", cell.memory},
          {"file_bytes", cell.files},
          {"link_bytes_per_second", cell.link},
          {"write_bytes_per_second", cell.writes},
          {"reads_per_second", cell.reads}};
}

Json to_json(const MovedCell& moved) {
  Json json = to_json(moved.cell);
  json["measured"] = {{"pause_seconds", moved.pause},
                      {"total_seconds", moved.total},
                      {"bytes", moved.sent},
                      {"rounds", moved.rounds},
                      {"wanted_pages", moved.wanted_pages}};
  json["client"] = nullptr;
  if (moved.client)
    json["client"] = {{"replies", moved.client->replies},
                      {"p99_before_seconds", moved.client->usual},
                      {"p99_seconds", moved.client->moving},
                      {"longest_wait_seconds", moved.client->longest}};
  json["declared"] = to_json(moved.declared);
  json["calibrated"] = moved.calibrated ? to_json(*moved.calibrated) : Json();
  json["stages"] = Json::array();
  for (const models::StageTime& stage : moved.stages)
    json["stages"].push_back({{"name", stage.name},
                              {"seconds", stage.seconds},
                              {"calibrated", stage.foretold ? to_json(*stage.foretold) : Json()}});
  return json;
}

Json to_json(const QuantityError& error, size_t moves) {
  return {{"within", error.within},
          {"within_share", static_cast<double>(error.within) / static_cast<double>(moves)},
          {"measured_to_foretold", error.ratio},
          {"worst_factor", error.worst}};
}

Json to_json(const ModelError& error) {
  return {{"mode", models::mode_name(error.mode)},
          {"forecast", forecast_name(error.forecast)},
          {"moves", error.moves},
          {"pause", to_json(error.pause, error.moves)},
          {"total", to_json(error.total, error.moves)}};
}

Json to_json(const WriteEffect& effect) {
  return {{"mode", models::mode_name(effect.mode)},
          {"writes", load_name(effect.load)},
          {"moves", effect.moves},
          {"rounds", effect.rounds},
          {"sent_to_size", effect.sent_share},
          {"pause_seconds", effect.pause},
          {"pause_to_memory_time", effect.pause_share},
          {"total_to_size_time", effect.total_share}};
}

template <typename T>
Json all_to_json(const std::vector<T>& values) {
  Json json = Json::array();
  for (const T& value : values) json.push_back(to_json(value));
  return json;
}

std::string tables(const std::vector<MovedCell>& moves) {
  const auto effects = models::write_effects(moves);
  std::string text = "a measured value above what was foretold is marked <, one below it >\n\n" +
                     format_table(move_rows(moves), {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13}) +
                     "\nhow far the models are off\n" +
                     format_table(error_rows(models::model_errors(moves)), {2, 3, 4, 5, 6, 7}) +
                     "\nwhat writing does (medians; M memory, V with files, R link)\n" +
                     format_table(effect_rows(effects), {2, 3, 4, 5, 6, 7});
  for (const std::string& sentence : findings(effects)) text += sentence + "\n";
  return text;
}

}  // namespace

std::string describe(const StandCell& cell) {
  return fmt::format("{}, {}, files {}, link {}, writes {}, {:g} reads/s",
                     models::mode_name(cell.mode), human_bytes(cell.memory),
                     human_bytes(cell.files), rate(cell.link), rate(cell.writes), cell.reads);
}

std::string describe(const MovedCell& cell) {
  std::string text = fmt::format("{}: pause {}, in all {}", describe(cell.cell),
                                 human_seconds(cell.pause), human_seconds(cell.total));
  if (cell.client) text += ", the client waited " + human_seconds(cell.client->longest);
  return text;
}

Rows move_rows(const std::vector<MovedCell>& moves) {
  Rows rows{{"mode", "memory", "files", "link", "writes", "reads", "rounds", "pause", "declared",
             "calibrated", "client", "in all", "declared", "calibrated"}};
  for (const MovedCell& move : moves)
    rows.push_back({std::string(models::mode_name(move.cell.mode)), human_bytes(move.cell.memory),
                    human_bytes(move.cell.files), rate(move.cell.link), rate(move.cell.writes),
                    fmt::format("{:g}/s", move.cell.reads),
                    move.rounds > 0 ? fmt::to_string(move.rounds) : "-", human_seconds(move.pause),
                    beside(move.declared.pause, move.pause),
                    beside(move.calibrated, &Foretold::pause, move.pause),
                    move.client ? human_seconds(move.client->longest) : "-",
                    human_seconds(move.total), beside(move.declared.total, move.total),
                    beside(move.calibrated, &Foretold::total, move.total)});
  return rows;
}

Rows error_rows(const std::vector<ModelError>& errors) {
  Rows rows{{"mode", "foretold", "pauses within", "measured/foretold", "worst", "times within",
             "measured/foretold", "worst"}};
  for (const ModelError& error : errors) {
    std::vector<std::string> row{std::string(models::mode_name(error.mode)),
                                 forecast_name(error.forecast)};
    for (const QuantityError& quantity : {error.pause, error.total}) {
      row.push_back(fmt::format("{} of {}", quantity.within, error.moves));
      row.push_back(fmt::format("{:.2f}", quantity.ratio));
      row.push_back(fmt::format("x {:.1f}", quantity.worst));
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

Rows effect_rows(const std::vector<WriteEffect>& effects) {
  Rows rows{
      {"mode", "writes", "moves", "rounds", "sent/size", "pause", "pause/(M/R)", "time/(V/R)"}};
  for (const WriteEffect& effect : effects)
    rows.push_back({std::string(models::mode_name(effect.mode)), load_name(effect.load),
                    fmt::to_string(effect.moves), fmt::format("{:g}", effect.rounds),
                    fmt::format("{:.2f}", effect.sent_share), human_seconds(effect.pause),
                    fmt::format("{:.2f}", effect.pause_share),
                    fmt::format("{:.2f}", effect.total_share)});
  return rows;
}

std::vector<std::string> findings(const std::vector<WriteEffect>& effects) {
  std::vector<std::string> sentences;
  const WriteEffect* slow = find(effects, MoveMode::kPrecopy, WriteLoad::kSlower);
  if (slow == nullptr) slow = find(effects, MoveMode::kPrecopy, WriteLoad::kNone);
  const WriteEffect* fast = find(effects, MoveMode::kPrecopy, WriteLoad::kFaster);
  if (slow != nullptr && fast != nullptr)
    sentences.push_back(fmt::format(
        "precopy: writing {} it stood still for {}, which is {:.0f}% of the time that its memory "
        "takes; writing {} for {}, {:.0f}%, after {:g} rounds that sent {:.1f} times its size",
        load_name(slow->load), human_seconds(slow->pause), 100 * slow->pause_share,
        load_name(fast->load), human_seconds(fast->pause), 100 * fast->pause_share, fast->rounds,
        fast->sent_share));
  std::string post;
  for (const WriteEffect& effect : effects)
    if (effect.mode == MoveMode::kPostcopy)
      post += fmt::format("{} {} writing {}", post.empty() ? "" : ",", human_seconds(effect.pause),
                          load_name(effect.load));
  if (!post.empty()) sentences.push_back("postcopy: it stood still for" + post);
  return sentences;
}

std::string to_text(const models::StandGrid& grid, const stand::Outcome& outcome) {
  std::string text = fmt::format("{}: {} moves\n", grid.title, outcome.moved.size());
  if (!outcome.moved.empty()) text += tables(outcome.moved);
  for (const stand::FailedCell& cell : outcome.failed)
    text += fmt::format("failed: {}: {}\n", describe(cell.cell), cell.error.to_string());
  return text;
}

Json to_json(const models::StandGrid& grid, const stand::Outcome& outcome) {
  Json failed = Json::array();
  for (const stand::FailedCell& cell : outcome.failed) {
    Json json = to_json(cell.cell);
    json.update(cli::to_json(cell.error));
    failed.push_back(std::move(json));
  }
  const auto effects = models::write_effects(outcome.moved);
  return {{"title", grid.title},
          {"moves", all_to_json(outcome.moved)},
          {"errors", all_to_json(models::model_errors(outcome.moved))},
          {"effects", all_to_json(effects)},
          {"findings", findings(effects)},
          {"failed", failed}};
}

}  // namespace martlet::cli
