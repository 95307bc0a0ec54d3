#include "models/stage_costs.h"

namespace martlet::models {
namespace {

constexpr double kPage = 4096;

// Numbers of operations, counted in the code of the stages. What they leave out is what the hosts'
// experience corrects.
constexpr double kTrees = 2;           // of files: the writable layer and the log
constexpr double kSandboxCalls = 8;    // of the OCI runtime until a sandbox stands
constexpr double kCompareThreads = 8;  // at most
constexpr double kGroupCaptures = 2;   // that building a group is like: calls go inside, one by one
constexpr double kConnectionReads = 2;        // what a connection's state costs, in its options
constexpr double kRecordOfTask = 4096;        // bytes, at most
constexpr double kRecordOfMapping = 256;      // bytes, at most
constexpr double kRecordOfDescriptor = 256;   // bytes, at most
constexpr double kRecordOfConnection = 1024;  // bytes, at most

// What a TCP socket holds at most that was sent and has not arrived: Linux's default limit.
constexpr double kSocketBytes = 4 << 20;

Bounds spread(double seconds) {
  return Bounds::exactly(seconds);
}

Bounds limited(const MoveInputs& inputs, const Bounds& rate) {
  if (inputs.options.bandwidth <= 0) return rate;
  return smaller(rate, Bounds::exactly(inputs.options.bandwidth));
}

// Files, and memory that comes late.
Bounds on_one_connection(const MoveInputs& inputs, const Bounds& bytes) {
  return bytes / limited(inputs, inputs.link.bytes_per_second);
}

// How much work of the connections for the state is done at once, at most.
double parallel(const MoveInputs& inputs) {
  const double cores = std::min(inputs.source.cores, inputs.destination.cores);
  return std::max(1.0, std::min<double>(inputs.options.streams, cores));
}

// V_net/U_net of all of them together: a link that one connection fills does not get faster.
Bounds state_rate(const MoveInputs& inputs) {
  Bounds rate = inputs.link.bytes_per_second;
  rate.upper *= parallel(inputs);
  return limited(inputs, rate);
}

Bounds on_link(const MoveInputs& inputs, const Bounds& bytes) {
  return bytes / state_rate(inputs);
}

// The end of the state, at most its second half, is still on its way when the source has sent it.
Bounds in_flight_seconds(const MoveInputs& inputs, const Bounds& pages) {
  const Bounds bytes = pages * (page_bytes(inputs.options) / 2);
  const double held = kSocketBytes * inputs.options.streams;
  return on_link(inputs, smaller(bytes, Bounds::exactly(held)));
}

// Open files, either to describe or to make them.
double files_seconds(const ContainerLoad& container, const HostCosts& host) {
  return container.descriptors * host.descriptor_read +
         kConnectionReads * container.connections * host.connection_read;
}

}  // namespace

double page_bytes(const MoveOptions& options) {
  return kPage * options.compression;
}

double source_page_cpu(const HostCosts& host) {
  return host.page_read + host.page_hash + host.page_encrypt + host.page_socket;
}

double destination_page_cpu(const HostCosts& host) {
  return host.page_socket + host.page_encrypt + host.page_hash + host.page_touch;
}

Bounds record_bytes(const ContainerLoad& container) {
  return {0, kRecordOfTask * (container.threads + container.processes) +
                 kRecordOfMapping * container.mappings +
                 kRecordOfDescriptor * container.descriptors +
                 kRecordOfConnection * container.connections};
}

PageCosts page_costs(const MoveInputs& inputs) {
  const Bounds link = on_link(inputs, Bounds::exactly(page_bytes(inputs.options)));
  const double read = inputs.source.page_read + inputs.source.page_hash;
  const double place = destination_page_cpu(inputs.destination);
  // Connections are served beside each other, and one thread puts into place.
  const double alone = inputs.destination.page_hash + inputs.destination.page_touch;
  const double least = std::max(place / parallel(inputs), alone);
  return {.capture = spread(read), .transfer = {std::max(link.lower, least), link.upper + place}};
}

PageCosts late_page_costs(const MoveInputs& inputs) {
  MoveInputs one = inputs;
  one.options.streams = 1;
  return page_costs(one);
}

Bounds check_seconds(const MoveInputs& inputs) {
  const double own = inputs.container.mappings * inputs.source.file_compare +
                     inputs.source.durable_write + inputs.destination.durable_write;
  return spread(own + 2 * inputs.link.connect + 2 * inputs.link.round_trip);
}

// T_sync = S_disk·U_net/V_net, the cost of looking at each file on both sides, and the start of the
// programs that copy; then the sandbox is built and the further connections for the state are
// opened.
Bounds first_copy_seconds(const MoveInputs& inputs) {
  const FileLoad& files = inputs.container.files;
  const double starts =
      kTrees * (inputs.source.copy_start + inputs.destination.copy_start + inputs.link.connect);
  const double look = files.files * (inputs.source.file_compare + inputs.destination.file_compare);
  const double sandbox = kSandboxCalls * inputs.destination.sandbox_start;
  const double connections = (inputs.options.streams - 1) * inputs.link.connect;
  return spread(starts + look + sandbox + connections + 10 * inputs.link.round_trip) +
         on_one_connection(inputs, Bounds::exactly(files.bytes));
}

Bounds prepare_seconds(const MoveInputs& inputs) {
  const double pages = inputs.container.memory.pages() - inputs.container.shared_pages;
  return freeze_seconds(inputs) +
         spread(pages * inputs.destination.page_touch + inputs.link.round_trip);
}

// A page that is there costs no more than to be copied, which is what reading one is.
MoveInputs with_pages_made(MoveInputs inputs) {
  const double pages = inputs.container.memory.pages();
  if (pages <= 0) return inputs;
  const double shared = inputs.container.shared_pages / pages;
  HostCosts& host = inputs.destination;
  const double made = std::min(host.page_touch, host.page_read);
  host.page_touch = shared * host.page_touch + (1 - shared) * made;
  return inputs;
}

// The freezer interrupts a running task, so the rest of its time slice does not count.
Bounds freeze_seconds(const MoveInputs& inputs) {
  return spread(inputs.source.group_freeze + inputs.container.threads * inputs.source.task_stop +
                inputs.container.processes * inputs.source.task_read);
}

// A·t files have changed. Without a tracker every file is looked at; the programs that copy are
// started only if there is something to copy.
Bounds second_copy_seconds(const MoveInputs& inputs, const Bounds& since) {
  const FileLoad& files = inputs.container.files;
  const double look = files.files * inputs.source.file_compare;
  Bounds copies = spread(kTrees * (inputs.source.copy_start + inputs.destination.copy_start +
                                   inputs.link.connect)) +
                  on_one_connection(inputs, second_copy_bytes(inputs.container, since));
  if (files.changed_files * since.lower < 1) copies.lower = 0;
  if (files.changed_files <= 0) copies.upper = 0;
  return spread(look) + copies;
}

Bounds second_copy_bytes(const ContainerLoad& container, const Bounds& since) {
  if (container.files.changed_files <= 0) return {};
  const Bounds written = since * container.files.written_bytes;
  return {0, std::min(written.upper, container.files.bytes + written.upper)};
}

// Σ k_i·t_rmem and what is not pages.
Bounds capture_seconds(const MoveInputs& inputs, const Bounds& pages) {
  const ContainerLoad& container = inputs.container;
  const double cost = page_costs(inputs).capture.middle();
  return spread(inputs.source.group_capture + container.threads * inputs.source.task_read +
                container.mappings * inputs.source.mapping_read +
                container.memory.pages() * inputs.source.page_look +
                files_seconds(container, inputs.source)) +
         pages * cost;
}

Bounds compare_seconds(const MoveInputs& inputs) {
  const double threads = std::clamp<double>(inputs.source.cores, 1, kCompareThreads);
  return spread(inputs.container.shared_pages *
                (inputs.source.page_read + inputs.source.page_hash) / threads);
}

// Σ k_i·t_net <= T_copy <= U_net·Σ k_i·t_net, where t_net is never below what the destination needs
// to put a page into place.
Bounds transfer_seconds(const MoveInputs& inputs, const Bounds& pages) {
  const Bounds page = page_costs(inputs).transfer;
  const Bounds waiting = in_flight_seconds(inputs, pages);
  return Bounds{pages.lower * page.lower - waiting.lower,
                pages.upper * page.upper - waiting.upper} +
         on_link(inputs, record_bytes(inputs.container)) + spread(inputs.link.round_trip / 2);
}

// T_restore: what was still on its way, Σ t_fork and the tasks' state. Pages are placed while they
// arrive, and the source writes its journal meanwhile.
Bounds restore_seconds(const MoveInputs& inputs, const Bounds& pages) {
  const ContainerLoad& container = inputs.container;
  const double build =
      kGroupCaptures * inputs.destination.group_capture +
      container.processes * inputs.destination.fork +
      container.threads * (inputs.destination.task_stop + inputs.destination.task_read) +
      container.memory.pages() * inputs.destination.page_look +
      files_seconds(container, inputs.destination);
  return spread(std::max(build, inputs.source.durable_write) + inputs.link.round_trip / 2) +
         in_flight_seconds(inputs, pages);
}

// To the thaw. What the destination writes behind it does not make the pause longer.
Bounds resume_seconds(const MoveInputs& inputs) {
  return spread(inputs.container.threads * inputs.destination.task_stop +
                inputs.destination.durable_write + inputs.link.round_trip);
}

Bounds stop_source_seconds(const MoveInputs& inputs) {
  return spread(inputs.container.processes * inputs.source.fork +
                inputs.container.memory.pages() * inputs.source.page_touch / 10);
}

Bounds remove_source_seconds(const MoveInputs& inputs) {
  return spread(4 * inputs.source.sandbox_start + inputs.source.durable_write +
                inputs.container.files.files * inputs.source.file_compare);
}

}  // namespace martlet::models
