#include "models/design/stand_comparison.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>

#include "base/check.h"

namespace martlet::models {
namespace {

using Cells = std::vector<const MovedCell*>;

Cells select(const std::vector<MovedCell>& moves,
             const std::function<bool(const MovedCell&)>& wanted) {
  Cells chosen;
  for (const MovedCell& move : moves)
    if (wanted(move)) chosen.push_back(&move);
  return chosen;
}

double median(std::vector<double> values) {
  CHECK(!values.empty());
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::ranges::nth_element(values, middle);
  if (values.size() % 2 == 1) return *middle;
  return (*middle + *std::max_element(values.begin(), middle)) / 2;
}

double median_of(const Cells& cells, const std::function<double(const MovedCell&)>& value) {
  std::vector<double> values;
  for (const MovedCell* cell : cells) values.push_back(value(*cell));
  return median(std::move(values));
}

const Foretold& foretold_by(Forecast forecast, const MovedCell& move) {
  return forecast == Forecast::kDeclared ? move.declared : *move.calibrated;
}

QuantityError error_of(const Cells& cells, Forecast forecast, double MovedCell::* measured,
                       Bounds Foretold::* quantity) {
  QuantityError error;
  std::vector<double> ratios;
  for (const MovedCell* cell : cells) {
    const Bounds& bounds = foretold_by(forecast, *cell).*quantity;
    if (bounds.contains(cell->*measured)) ++error.within;
    ratios.push_back(cell->*measured / bounds.middle());
    error.worst = std::max(error.worst, std::max(ratios.back(), 1 / ratios.back()));
  }
  error.ratio = median(std::move(ratios));
  return error;
}

WriteLoad load_of(const StandCell& cell) {
  if (cell.writes <= 0) return WriteLoad::kNone;
  return cell.write_share() < 1 ? WriteLoad::kSlower : WriteLoad::kFaster;
}

WriteEffect effect_of(const Cells& cells, MoveMode mode, WriteLoad load) {
  const auto data = [](const StandCell& cell) { return cell.memory + cell.files; };
  return {.mode = mode,
          .load = load,
          .moves = cells.size(),
          .rounds = median_of(cells, [](const MovedCell& move) { return double(move.rounds); }),
          .sent_share =
              median_of(cells, [&](const MovedCell& move) { return move.sent / data(move.cell); }),
          .pause = median_of(cells, [](const MovedCell& move) { return move.pause; }),
          .pause_share = median_of(
              cells,
              [](const MovedCell& move) { return move.pause * move.cell.link / move.cell.memory; }),
          .total_share = median_of(cells, [&](const MovedCell& move) {
            return move.total * move.cell.link / data(move.cell);
          })};
}

}  // namespace

std::vector<ModelError> model_errors(const std::vector<MovedCell>& moves) {
  std::vector<ModelError> errors;
  for (const MoveMode mode : kMoveModes)
    for (const Forecast forecast : {Forecast::kDeclared, Forecast::kCalibrated}) {
      const Cells cells = select(moves, [&](const MovedCell& move) {
        return move.cell.mode == mode && (forecast == Forecast::kDeclared || move.calibrated);
      });
      if (cells.empty()) continue;
      errors.push_back({.mode = mode,
                        .forecast = forecast,
                        .moves = cells.size(),
                        .pause = error_of(cells, forecast, &MovedCell::pause, &Foretold::pause),
                        .total = error_of(cells, forecast, &MovedCell::total, &Foretold::total)});
    }
  return errors;
}

std::vector<WriteEffect> write_effects(const std::vector<MovedCell>& moves) {
  std::vector<WriteEffect> effects;
  for (const MoveMode mode : kMoveModes)
    for (const WriteLoad load : {WriteLoad::kNone, WriteLoad::kSlower, WriteLoad::kFaster}) {
      const Cells cells = select(moves, [&](const MovedCell& move) {
        return move.cell.mode == mode && load_of(move.cell) == load;
      });
      if (!cells.empty()) effects.push_back(effect_of(cells, mode, load));
    }
  return effects;
}

}  // namespace martlet::models
