// The grid of moves of `martlet stand`: the content of its file (docs/stand.md), its cells, and
// what the models of migration foretell of a cell from what the file declares.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "models/migration.h"

namespace martlet::models {

struct StandGrid {
  std::string title = "stand";
  std::vector<MoveMode> modes{kMoveModes.begin(), kMoveModes.end()};
  std::vector<double> memory;      // bytes
  std::vector<double> files{0};    // bytes
  std::vector<double> link;        // bytes per second
  std::vector<double> writes{0};   // bytes of memory per second, different pages until all are
  std::vector<double> reads{200};  // requests per second, each reads one page
  double file_size = 1e6;          // bytes of each file
  double longest_pause_seconds = 0.05;
  int most_rounds = 8;
  int repeats = 1;
};

// Errors are one line that names the key.
Result<StandGrid> parse_stand(std::string_view text);

struct StandCell {
  MoveMode mode = MoveMode::kStop;
  double memory = 0;
  double files = 0;
  double link = 0;
  double writes = 0;
  double reads = 0;
  // ρ = w/R: at 1 and above the rounds of pre-copy do not get smaller.
  double write_share() const { return writes / link; }
};

// In the order in which they are run: the mode changes fastest.
std::vector<StandCell> cells_of(const StandGrid& grid);

// What `martlet plan moves` says of a service like this on a typical host.
Prediction declared_prediction(const StandGrid& grid, const StandCell& cell);

}  // namespace martlet::models
