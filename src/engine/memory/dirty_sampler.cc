#include "engine/memory/dirty_sampler.h"

#include <xxhash.h>

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <random>

#include "engine/memory/page_population.h"
#include "sys/procfs.h"
#include "sys/target_memory.h"

namespace martlet::engine {
namespace {

using Page = std::array<std::byte, kPageSize>;

struct SampledPage {
  HostPid pid;
  TargetAddr address;
};

// One page drawn from each of `count` equal parts of the ranges, which are so many pages.
std::vector<SampledPage> draw_pages(const std::vector<PopulatedRange>& ranges, uint64_t pages,
                                    uint64_t count, std::mt19937_64& random) {
  std::vector<SampledPage> drawn;
  count = std::min(count, pages);
  auto place = ranges.begin();
  uint64_t before = 0;  // pages in the ranges before `place`
  for (uint64_t part = 0; part < count; ++part) {
    const uint64_t first = part * pages / count;
    const uint64_t last = (part + 1) * pages / count - 1;
    const uint64_t index = std::uniform_int_distribution(first, last)(random);
    while (index >= before + place->range.size() / kPageSize)
      before += (place++)->range.size() / kPageSize;
    drawn.push_back({place->pid, TargetAddr(place->range.start + (index - before) * kPageSize)});
  }
  return drawn;
}

// Reads through /proc/PID/mem: unlike process_vm_readv it does not pin the pages, so a page that a
// fork left shared stays shared.
class PageHasher {
 public:
  // No value if the page is not there (any more).
  std::optional<uint64_t> hash(const SampledPage& page) {
    auto memory = memories_.find(page.pid);
    if (memory == memories_.end())
      memory = memories_.emplace(page.pid, sys::ForcedMemory::open(page.pid)).first;
    if (!memory->second || !memory->second->read(page.address, buffer_)) return std::nullopt;
    return XXH3_64bits(buffer_.data(), buffer_.size());
  }

  uint64_t hash_of_zeros() {
    buffer_.fill(std::byte{0});
    return XXH3_64bits(buffer_.data(), buffer_.size());
  }

 private:
  std::map<HostPid, Result<sys::ForcedMemory>> memories_;
  Page buffer_;
};

using Hashes = std::vector<std::optional<uint64_t>>;

struct Look {
  Nanoseconds at{};  // in the middle of the look
  Hashes hashes;
};

Look look_at(const std::vector<SampledPage>& pages, PageHasher& hasher, const Clock& clock) {
  Look look;
  const Nanoseconds begin = clock.now();
  for (const SampledPage& page : pages) look.hashes.push_back(hasher.hash(page));
  look.at = (begin + clock.now()) / 2;
  return look;
}

models::DirtyObservation compare(const Look& before, const Look& after) {
  models::DirtyObservation seen;
  seen.seconds = std::chrono::duration<double>(after.at - before.at).count();
  seen.looked_at = before.hashes.size();
  for (size_t i = 0; i < before.hashes.size(); ++i)
    if (before.hashes[i] != after.hashes[i]) seen.changed++;
  return seen;
}

// Two observations over times of the same length.
models::DirtyObservation pool(const models::DirtyObservation& a,
                              const models::DirtyObservation& b) {
  return {(a.seconds + b.seconds) / 2, a.looked_at + b.looked_at, a.changed + b.changed};
}

// Look k is at first·2^(k-1), so the time since the look before it is as long as that look's since
// the first: the two are one observation of twice as many pages.
std::vector<models::DirtyObservation> compare_all(const std::vector<Look>& looks) {
  std::vector<models::DirtyObservation> seen;
  for (size_t i = 1; i < looks.size(); ++i) {
    const auto since_first = compare(looks[0], looks[i]);
    seen.push_back(i + 1 < looks.size() ? pool(since_first, compare(looks[i], looks[i + 1]))
                                        : since_first);
  }
  return seen;
}

}  // namespace

Result<MemorySample> sample_memory(const std::vector<HostPid>& processes,
                                   const SampleOptions& options, Clock& clock) {
  const PagePopulation population = TRY(find_populated_pages(processes));
  std::mt19937_64 random(options.seed);
  const auto pages = draw_pages(population.ranges, population.pages, options.pages, random);
  const auto of_files =
      draw_pages(population.file_ranges, population.file_pages, options.file_pages, random);
  PageHasher hasher;
  std::vector<Look> looks{look_at(pages, hasher, clock)};
  std::vector<Look> looks_at_files{look_at(of_files, hasher, clock)};
  Nanoseconds due = options.first_look;
  for (uint32_t i = 0; i < options.looks; ++i, due *= 2) {
    const Nanoseconds left = looks.front().at + due - clock.now();
    if (left > Nanoseconds::zero()) clock.sleep_for(left);
    looks.push_back(look_at(pages, hasher, clock));
    looks_at_files.push_back(look_at(of_files, hasher, clock));
  }
  TRY(sys::read_stat(processes.front()));  // pages of what has ended look changed
  MemorySample sample{.processes = population.processes,
                      .threads = population.threads,
                      .mappings = population.mappings,
                      .shared_pages = population.shared_pages,
                      .file_pages = population.file_pages,
                      .observations = compare_all(looks),
                      .file_observations = compare_all(looks_at_files)};
  const auto zeros =
      std::ranges::count(looks.front().hashes, std::optional(hasher.hash_of_zeros()));
  if (!pages.empty())
    sample.zero_share = static_cast<double>(zeros) / static_cast<double>(pages.size());
  sample.pages =
      static_cast<uint64_t>(static_cast<double>(population.pages) * (1 - sample.zero_share));
  return sample;
}

}  // namespace martlet::engine
