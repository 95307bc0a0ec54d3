#include "models/design/stand_grid.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "models/design/planned_move.h"
#include "models/design/toml_table.h"

namespace martlet::models {
namespace {

constexpr double kMostCells = 10'000;
constexpr double kLeastMemory = 1 << 20;
constexpr double kLeastFile = 1;
constexpr double kLeastLink = 125'000;  // 1 Mbit/s
constexpr double kMostLink = 2e9;       // what a token bucket can be told
constexpr double kMostReads = 10'000;
constexpr int kMostRepeats = 100;
constexpr int kMostRounds = 1000;

Result<void> read_modes(const TomlTable& table, std::vector<MoveMode>& modes) {
  std::vector<std::string> names;
  TRY(table.read("modes", names));
  if (!table.has("modes")) return {};
  if (names.empty()) return table.refuse("modes", "the list is empty");
  modes.clear();
  for (const std::string& name : names) {
    const auto found = std::ranges::find(kMoveModes, name, mode_name);
    if (found == kMoveModes.end())
      return table.refuse("modes",
                          fmt::format("'{}' is none of stop, precopy, postcopy, hybrid", name));
    modes.push_back(*found);
  }
  return {};
}

Result<void> check_range(const TomlTable& table, std::string_view key,
                         const std::vector<double>& values, double least,
                         std::string_view meaning) {
  for (const double value : values)
    if (value < least) return table.refuse(key, fmt::format("the least is {}", meaning));
  return {};
}

Result<void> check_count(const TomlTable& table, std::string_view key, int value, int most) {
  if (value < 1 || value > most) return table.refuse(key, fmt::format("1 to {} is expected", most));
  return {};
}

Result<void> check(const TomlTable& table, const StandGrid& grid) {
  TRY(table.require("memory"));
  TRY(table.require("link"));
  TRY(check_range(table, "memory", grid.memory, kLeastMemory, "1MiB"));
  TRY(check_range(table, "link", grid.link, kLeastLink, "1Mbit/s"));
  TRY(check_range(table, "file_size", {grid.file_size}, kLeastFile, "1B"));
  if (std::ranges::max(grid.link) > kMostLink) return table.refuse("link", "the most is 16Gbit/s");
  if (std::ranges::max(grid.reads) > kMostReads)
    return table.refuse("reads", fmt::format("the most is {}", kMostReads));
  TRY(check_count(table, "most_rounds", grid.most_rounds, kMostRounds));
  TRY(check_count(table, "repeats", grid.repeats, kMostRepeats));
  double cells = grid.repeats;
  for (const size_t length : {grid.modes.size(), grid.memory.size(), grid.files.size(),
                              grid.link.size(), grid.writes.size(), grid.reads.size()})
    cells *= static_cast<double>(length);
  if (cells > kMostCells)
    return fail(Code::kInvalidArgument,
                fmt::format("a grid of {} cells; {} are the most", cells, kMostCells));
  return {};
}

}  // namespace

Result<StandGrid> parse_stand(std::string_view text) {
  const TomlTable table = TRY(TomlTable::parse(text));
  TRY(table.only({"title", "modes", "memory", "files", "link", "writes", "reads", "file_size",
                  "longest_pause", "most_rounds", "repeats"}));
  StandGrid grid;
  TRY(table.read("title", grid.title));
  TRY(read_modes(table, grid.modes));
  TRY(table.read_bytes("memory", grid.memory));
  TRY(table.read_bytes("files", grid.files));
  TRY(table.read_bytes("link", grid.link));
  TRY(table.read_bytes("writes", grid.writes));
  TRY(table.read_amounts("reads", grid.reads));
  TRY(table.read_bytes("file_size", grid.file_size));
  TRY(table.read_seconds("longest_pause", grid.longest_pause_seconds));
  TRY(table.read("most_rounds", grid.most_rounds));
  TRY(table.read("repeats", grid.repeats));
  TRY(check(table, grid));
  return grid;
}

std::vector<StandCell> cells_of(const StandGrid& grid) {
  std::vector<StandCell> cells;
  for (const double link : grid.link)
    for (const double memory : grid.memory)
      for (const double files : grid.files)
        for (const double writes : grid.writes)
          for (const double reads : grid.reads)
            for (int repeat = 0; repeat < grid.repeats; ++repeat)
              for (const MoveMode mode : grid.modes)
                cells.push_back({.mode = mode,
                                 .memory = memory,
                                 .files = files,
                                 .link = link,
                                 .writes = writes,
                                 .reads = reads});
  return cells;
}

Prediction declared_prediction(const StandGrid& grid, const StandCell& cell) {
  const ServiceClass service{.name = grid.title,
                             .memory_bytes = cell.memory,
                             .file_bytes = cell.files,
                             .files = std::ceil(cell.files / grid.file_size),
                             .write_rate = cell.writes};
  MoveInputs inputs = planned_inputs(service, cell.link, Storage::kReplicated, Assumptions{},
                                     grid.longest_pause_seconds);
  inputs.options.max_rounds = static_cast<uint32_t>(grid.most_rounds);
  return predict(cell.mode, inputs);
}

}  // namespace martlet::models
