#include "engine/network/queueing_options.h"

#include <fmt/format.h>
#include <linux/if_ether.h>
#include <linux/pkt_sched.h>

#include <algorithm>
#include <array>
#include <vector>

#include "engine/network/netlink_objects.h"

namespace martlet::engine {
namespace {

using sys::NetlinkAttribute;
using sys::NetlinkMessage;

constexpr uint64_t kNanoseconds = 1'000'000'000;
constexpr int kTickShift = 6;  // a tick of packet schedulers has 64 ns

template <typename T>
T number_of(const NetlinkMessage& message, uint16_t attribute) {
  const std::string* value = message.find(attribute);
  return value == nullptr ? T{} : sys::value_of<T>(*value);
}

// Attributes up to a number. What newer kernels have beyond is not known.
Result<NetlinkMessage> options_up_to(uint16_t last, std::string_view told) {
  NetlinkMessage options;
  options.attributes = sys::parse_attributes(told);
  for (const NetlinkAttribute& option : options.attributes)
    if (option.number() > last)
      return fail(Code::kUnsupported, fmt::format("an unknown option ({})", option.number()));
  return options;
}

Result<std::string> as_told(const std::string& told) {
  return told;
}

// --- Token buckets

// How long packets take at a rate, as the kernel reckons it, which is by multiplication with a
// rounded reciprocal.
class PacketTime {
 public:
  PacketTime(uint64_t bytes_per_second, const tc_ratespec& rate) : rate_(rate) {
    uint64_t nanoseconds = kNanoseconds;
    for (;; nanoseconds <<= 1, ++shift_) {
      reciprocal_ = static_cast<uint32_t>(nanoseconds / std::max<uint64_t>(bytes_per_second, 1));
      if (reciprocal_ >> 31 != 0 || nanoseconds >> 63 != 0) return;
    }
  }

  // The largest packet that takes no more than this: less than one tick more than a packet took of
  // which the kernel has told so many.
  uint32_t largest_within(uint32_t ticks) const {
    uint32_t fits = 0;
    for (uint32_t step = 1u << 31; step != 0; step >>= 1)
      if (nanoseconds(fits + step) >> kTickShift <= ticks) fits += step;
    return fits;
  }

 private:
  uint64_t nanoseconds(uint64_t bytes) const {
    constexpr uint64_t kCellPayload = 48;
    constexpr uint64_t kCell = 53;
    uint64_t length = std::max<uint64_t>(bytes + rate_.overhead, rate_.mpu);
    if ((rate_.linklayer & TC_LINKLAYER_MASK) == TC_LINKLAYER_ATM)
      length = (length + kCellPayload - 1) / kCellPayload * kCell;
    return length * reciprocal_ >> shift_;
  }

  tc_ratespec rate_;
  uint32_t reciprocal_ = 0;
  int shift_ = 0;
};

// The kernel tells the largest packet that a bucket lets pass as a time, rounded, but takes it in
// bytes too. By the time alone it would be smaller, and a packet of just that size be dropped.
Result<std::string> of_token_bucket(const std::string& told) {
  NetlinkMessage options = TRY(options_up_to(TCA_TBF_PAD, told));
  const auto bucket = number_of<tc_tbf_qopt>(options, TCA_TBF_PARMS);
  auto add_size = [&](uint16_t type, const tc_ratespec& rate, uint16_t long_rate, uint32_t ticks) {
    const uint64_t bytes_per_second =
        std::max<uint64_t>(rate.rate, number_of<uint64_t>(options, long_rate));
    options.attributes.push_back(
        {type, sys::bytes_of(PacketTime(bytes_per_second, rate).largest_within(ticks))});
  };
  add_size(TCA_TBF_BURST, bucket.rate, TCA_TBF_RATE64, bucket.buffer);
  if (bucket.peakrate.rate != 0)
    add_size(TCA_TBF_PBURST, bucket.peakrate, TCA_TBF_PRATE64, bucket.mtu);
  return sys::join_attributes(options.attributes);
}

// Of a discipline it tells its full version and counts packets; of a class it tells all as it takes
// it.
Result<std::string> of_token_tree(const std::string& told) {
  NetlinkMessage options = TRY(options_up_to(TCA_HTB_PAD, told));
  for (NetlinkAttribute& option : options.attributes) {
    if (option.number() != TCA_HTB_INIT) continue;
    auto all = sys::value_of<tc_htb_glob>(option.value);
    constexpr int kMajorShift = 16;
    if (all.version >> kMajorShift != 0) all.version >>= kMajorShift;
    all.direct_pkts = 0;
    option.value = sys::bytes_of(all);
  }
  return sys::join_attributes(options.attributes);
}

// --- Fair queues and delays

// Times are kept in units of 1,024 ns and told in microseconds, rounded down both ways: one more
// gives the same again.
Result<std::string> of_delay_control(const std::string& told, uint16_t last,
                                     std::array<uint16_t, 3> times) {
  NetlinkMessage options = TRY(options_up_to(last, told));
  for (NetlinkAttribute& option : options.attributes)
    if (std::ranges::find(times, option.number()) != times.end())
      option.value = sys::bytes_of(sys::value_of<uint32_t>(option.value) + 1);
  return sys::join_attributes(options.attributes);
}

Result<std::string> of_codel(const std::string& told) {
  return of_delay_control(told, TCA_CODEL_CE_THRESHOLD,
                          {TCA_CODEL_TARGET, TCA_CODEL_INTERVAL, TCA_CODEL_CE_THRESHOLD});
}

Result<std::string> of_fair_codel(const std::string& told) {
  return of_delay_control(told, TCA_FQ_CODEL_CE_THRESHOLD_MASK,
                          {TCA_FQ_CODEL_TARGET, TCA_FQ_CODEL_INTERVAL, TCA_FQ_CODEL_CE_THRESHOLD});
}

Result<std::string> of_fair_pacing(const std::string& told) {
  constexpr uint16_t kOffloadHorizon = 19;  // the last, of Linux 6.14
  return sys::join_attributes(TRY(options_up_to(kOffloadHorizon, told)).attributes);
}

// It has more flows than packets only until somebody sets it.
Result<std::string> of_fair_hashing(const std::string& told) {
  if (told.size() != sizeof(tc_sfq_qopt_v1)) return fail(Code::kUnsupported, "an unknown form");
  auto options = sys::value_of<tc_sfq_qopt_v1>(told);
  options.stats = {};
  options.v0.flows = std::min(options.v0.flows, options.v0.limit);
  return sys::bytes_of(options);
}

// A structure, and attributes behind it.
Result<std::string> of_emulation(const std::string& told) {
  constexpr uint16_t kSeed = 14;  // the last, of Linux 6.6
  const std::string head = told.substr(0, sizeof(tc_netem_qopt));
  const NetlinkMessage options =
      TRY(options_up_to(kSeed, std::string_view(told).substr(head.size())));
  if (number_of<int64_t>(options, TCA_NETEM_JITTER64) != 0 ||
      options.find(TCA_NETEM_SLOT) != nullptr)
    return fail(Code::kUnsupported, "delays that vary, whose distribution nothing tells");
  return head + sys::join_attributes(options.attributes);
}

struct Discipline {
  std::string_view kind;
  Result<std::string> (*options)(const std::string& told);
};

constexpr Discipline kDisciplines[] = {
    {"noqueue", as_told},         {"pfifo", as_told},      {"bfifo", as_told},
    {"pfifo_head_drop", as_told}, {"pfifo_fast", as_told}, {"prio", as_told},
    {"tbf", of_token_bucket},     {"htb", of_token_tree},  {"codel", of_codel},
    {"fq_codel", of_fair_codel},  {"fq", of_fair_pacing},  {"sfq", of_fair_hashing},
    {"netem", of_emulation},
};

const Discipline* find(std::string_view kind) {
  const auto* found = std::ranges::find(kDisciplines, kind, &Discipline::kind);
  return found == std::end(kDisciplines) ? nullptr : found;
}

}  // namespace

bool is_known_discipline(std::string_view kind) {
  return find(kind) != nullptr;
}

Result<std::string> options_to_set(std::string_view kind, const std::string& told) {
  const Discipline* discipline = find(kind);
  if (discipline == nullptr) return fail(Code::kUnsupported, "a kind that is not supported");
  return discipline->options(told);
}

}  // namespace martlet::engine
