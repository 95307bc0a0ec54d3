// What the moves of a stand say about the models: how far what was foretold was from what was
// measured, and what the rate of writing does to each mode.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "models/design/stand_grid.h"

namespace martlet::models {

struct Foretold {
  Bounds pause;  // seconds
  Bounds total;
};

// How the client of the service saw one move. Latencies in seconds, from when a request was due.
struct ClientView {
  uint64_t replies = 0;
  double usual = 0;    // the 99th percentile before the move
  double moving = 0;   // the same from its begin on
  double longest = 0;  // the longest wait from its begin on: the interruption that a user sees
};

// One stage of a move, beside what the agents foretold of it.
struct StageTime {
  std::string name;
  double seconds = 0;
  std::optional<Bounds> foretold;
};

struct MovedCell {
  StandCell cell;
  double pause = 0;  // seconds, measured
  double total = 0;
  double sent = 0;  // bytes
  uint32_t rounds = 0;
  uint64_t wanted_pages = 0;         // that the service had to wait for after the thaw
  std::optional<ClientView> client;  // nobody asked if `reads` is 0
  Foretold declared;                 // by declared_prediction()
  std::vector<StageTime> stages{};
  std::optional<Foretold> calibrated;  // by the agents, if they could
};

enum class Forecast { kDeclared, kCalibrated };

// measured / foretold of one quantity over some moves.
struct QuantityError {
  size_t within = 0;  // moves within the bounds
  double ratio = 0;   // the median of measured / middle of the bounds: above 1 it took longer
  double worst = 0;   // the ratio farthest from 1, as a factor in either direction
};

struct ModelError {
  MoveMode mode = MoveMode::kStop;
  Forecast forecast = Forecast::kDeclared;
  size_t moves = 0;
  QuantityError pause;
  QuantityError total;
};

// For each mode that moved, by the declared and by the calibrated forecast.
std::vector<ModelError> model_errors(const std::vector<MovedCell>& moves);

enum class WriteLoad { kNone, kSlower, kFaster };  // than the link

// Medians over the moves of one mode under one load.
struct WriteEffect {
  MoveMode mode = MoveMode::kStop;
  WriteLoad load = WriteLoad::kNone;
  size_t moves = 0;
  double rounds = 0;
  double sent_share = 0;   // bytes sent / bytes of memory and files
  double pause = 0;        // seconds
  double pause_share = 0;  // pause / time of the memory over the link: 1 is a move in mode stop
  double total_share = 0;  // time / time of memory and files over the link
};

std::vector<WriteEffect> write_effects(const std::vector<MovedCell>& moves);

}  // namespace martlet::models
