#include "agent/prediction_messages.h"

#include <cmath>

namespace martlet::agent {
namespace {

Bounds to_message(const models::Bounds& bounds) {
  Bounds message;
  message.set_lower(bounds.lower);
  message.set_upper(bounds.upper);
  return message;
}

Overhead to_message(const models::Overhead& overhead) {
  Overhead message;
  *message.mutable_cpu_seconds() = to_message(overhead.cpu_seconds);
  *message.mutable_memory_bytes() = to_message(overhead.memory_bytes);
  return message;
}

Prediction::Convergence to_message(models::Rounds::Converges converges) {
  switch (converges) {
    case models::Rounds::Converges::kYes: return Prediction::SURE;
    case models::Rounds::Converges::kMaybe: return Prediction::POSSIBLE;
    case models::Rounds::Converges::kNo: return Prediction::NONE;
  }
  return Prediction::NONE;
}

}  // namespace

double sane(double value) {
  return std::isfinite(value) && value > 0 ? value : 0;
}

Prediction to_message(const models::Prediction& prediction) {
  Prediction message;
  message.set_mode(std::string(models::mode_name(prediction.mode)));
  for (const models::StageEstimate& estimate : prediction.stages) {
    StageEstimate& stage = *message.add_stages();
    stage.set_name(std::string(models::stage_name(estimate.stage)));
    *stage.mutable_seconds() = to_message(estimate.seconds);
    *stage.mutable_bytes() = to_message(estimate.bytes);
    stage.set_pause(models::is_pause(estimate.stage));
  }
  *message.mutable_pause() = to_message(prediction.pause);
  *message.mutable_total() = to_message(prediction.total);
  *message.mutable_bytes() = to_message(prediction.bytes);
  *message.mutable_source() = to_message(prediction.source);
  *message.mutable_destination() = to_message(prediction.destination);
  *message.mutable_rounds() = to_message(prediction.rounds);
  message.set_convergence(to_message(prediction.converges));
  *message.mutable_demand_faults() = to_message(prediction.demand_faults);
  *message.mutable_slowdown_seconds() = to_message(prediction.slowdown_seconds);
  return message;
}

HostCosts to_message(const models::HostCosts& costs) {
  HostCosts message;
  message.set_page_read(costs.page_read);
  message.set_page_hash(costs.page_hash);
  message.set_page_encrypt(costs.page_encrypt);
  message.set_page_socket(costs.page_socket);
  message.set_page_touch(costs.page_touch);
  message.set_task_stop(costs.task_stop);
  message.set_task_read(costs.task_read);
  message.set_mapping_read(costs.mapping_read);
  message.set_page_look(costs.page_look);
  message.set_descriptor_read(costs.descriptor_read);
  message.set_connection_read(costs.connection_read);
  message.set_group_freeze(costs.group_freeze);
  message.set_group_capture(costs.group_capture);
  message.set_fork(costs.fork);
  message.set_sandbox_start(costs.sandbox_start);
  message.set_copy_start(costs.copy_start);
  message.set_file_compare(costs.file_compare);
  message.set_durable_write(costs.durable_write);
  message.set_cores(costs.cores);
  return message;
}

models::HostCosts from_message(const HostCosts& costs) {
  return {.page_read = sane(costs.page_read()),
          .page_hash = sane(costs.page_hash()),
          .page_encrypt = sane(costs.page_encrypt()),
          .page_socket = sane(costs.page_socket()),
          .page_touch = sane(costs.page_touch()),
          .page_look = sane(costs.page_look()),
          .task_stop = sane(costs.task_stop()),
          .task_read = sane(costs.task_read()),
          .mapping_read = sane(costs.mapping_read()),
          .descriptor_read = sane(costs.descriptor_read()),
          .connection_read = sane(costs.connection_read()),
          .group_freeze = sane(costs.group_freeze()),
          .group_capture = sane(costs.group_capture()),
          .fork = sane(costs.fork()),
          .sandbox_start = sane(costs.sandbox_start()),
          .copy_start = sane(costs.copy_start()),
          .file_compare = sane(costs.file_compare()),
          .durable_write = sane(costs.durable_write()),
          .cores = std::max(1u, costs.cores())};
}

PredictionInputs to_message(const SampledLoad& sampled, const models::LinkCosts& link) {
  const models::ContainerLoad& load = sampled.load;
  PredictionInputs inputs;
  inputs.set_processes(static_cast<uint64_t>(load.processes));
  inputs.set_threads(static_cast<uint64_t>(load.threads));
  inputs.set_mappings(static_cast<uint64_t>(load.mappings));
  inputs.set_descriptors(static_cast<uint64_t>(load.descriptors));
  inputs.set_connections(static_cast<uint64_t>(load.connections));
  inputs.set_pages(load.memory.pages());
  for (const double seconds : sampled.looked_at) {
    DirtyRate& rate = *inputs.add_dirty_rates();
    rate.set_seconds(seconds);
    *rate.mutable_pages() = to_message(load.memory.within(seconds));
  }
  inputs.set_file_bytes(load.files.bytes);
  inputs.set_files(load.files.files);
  inputs.set_changed_files_per_second(load.files.changed_files);
  inputs.set_written_bytes_per_second(load.files.written_bytes);
  *inputs.mutable_link_bytes_per_second() = to_message(link.bytes_per_second);
  inputs.set_round_trip(link.round_trip);
  return inputs;
}

}  // namespace martlet::agent
