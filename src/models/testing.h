// Inputs for tests of the models: round numbers, and random ones with a seed that is printed.
#pragma once

#include <gtest/gtest.h>

#include <random>

#include "models/migration.h"

namespace martlet::models {

inline HostCosts example_host() {
  return {.page_read = 0.5e-6,
          .page_hash = 0.3e-6,
          .page_encrypt = 1e-6,
          .page_socket = 1e-6,
          .page_touch = 2e-6,
          .task_stop = 50e-6,
          .task_read = 100e-6,
          .mapping_read = 5e-6,
          .descriptor_read = 5e-6,
          .connection_read = 2e-5,
          .fork = 500e-6,
          .sandbox_start = 30e-3,
          .copy_start = 20e-3,
          .file_compare = 2e-6,
          .durable_write = 1e-3,
          .cores = 2};
}

inline MoveInputs example_inputs(double pages = 10'000) {
  MoveInputs inputs;
  inputs.source = inputs.destination = example_host();
  inputs.link = {.bytes_per_second = Bounds::exactly(500e6), .round_trip = 1e-4, .connect = 2e-3};
  inputs.container = {.processes = 1,
                      .threads = 4,
                      .mappings = 50,
                      .first_pages = 16,
                      .memory = WorkingSetCurve::linear(pages, 0),
                      .files = {.bytes = 1e6, .files = 20}};
  return inputs;
}

// Draws inputs within what hosts, links and containers are like.
class RandomInputs {
 public:
  RandomInputs() : seed_(std::random_device{}()), generator_(seed_) {}
  explicit RandomInputs(uint32_t seed) : seed_(seed), generator_(seed) {}
  uint32_t seed() const { return seed_; }

  // Uniform on a logarithmic scale.
  double between(double low, double high) {
    return std::exp(std::uniform_real_distribution(std::log(low), std::log(high))(generator_));
  }

  MoveInputs draw() {
    MoveInputs inputs = example_inputs();
    inputs.source.page_read = between(1e-7, 1e-5);
    inputs.destination.page_touch = between(1e-7, 1e-5);
    const double rate = between(1e6, 1e10);
    inputs.link.bytes_per_second = {rate, rate * between(1, 2)};
    inputs.link.round_trip = between(1e-5, 1e-1);
    inputs.container.memory = curve(between(1, 1e7), between(1, 1e7));
    inputs.container.files.bytes = between(1, 1e10);
    inputs.container.files.changed_files = between(1e-3, 1e2);
    inputs.options.max_pause = between(1e-3, 1);
    inputs.options.streams = static_cast<uint32_t>(between(1, 16));
    return inputs;
  }

  // What a sampler would see of a container that writes evenly over all of its pages.
  WorkingSetCurve curve(double pages, double writes_per_second, uint64_t sample = 2048) {
    std::vector<DirtyObservation> seen;
    for (const double seconds : {0.01, 0.04, 0.16, 0.64}) {
      const double share = 1 - std::exp(-writes_per_second * seconds / pages);
      seen.push_back({seconds, sample,
                      static_cast<uint64_t>(std::llround(static_cast<double>(sample) * share))});
    }
    return WorkingSetCurve(pages, seen);
  }

 private:
  uint32_t seed_;
  std::mt19937 generator_;
};

}  // namespace martlet::models
